"""Stacks that read from both ends: symmetric in time where they should be, and blind to padding."""

from __future__ import annotations

import pytest
import torch

from knuckle.core.errors import InputError
from knuckle.nn.bidirectional import Bidirectional, BidirectionalStack, reversed_in_time
from knuckle.nn.families import FAMILIES
from knuckle.nn.recurrent import Gru

SMALL = {"transformer": {"heads": 2}, "mamba2": {"headdim": 4}, "s4": {"d_state": 4}, "s4d": {"d_state": 4}}


@pytest.mark.parametrize("family", sorted(FAMILIES))
@torch.no_grad()
def test_padding_has_no_influence_and_every_real_sample_has_some_on_every_output(family: str):
    torch.manual_seed(0)
    stack = BidirectionalStack(family, 8, 2, **SMALL.get(family, {})).eval()
    x = torch.randn(3, 10, 8)
    lengths = torch.tensor([10, 6, 1])
    y = stack(x, lengths)
    for i, length in enumerate(lengths.tolist()):
        assert torch.allclose(y[i, :length], stack(x[i : i + 1, :length])[0], atol=1e-5)
    changed = x.clone()
    changed[:, 5] = torch.randn(8)  # no constant: the norm would take it out
    moved = (stack(changed) - stack(x)).abs().amax(2)
    assert (moved > 1e-5).all()


@torch.no_grad()
def test_layers_exchanged_read_the_reversed_sequence_to_the_reversed_output():
    torch.manual_seed(0)
    pair = Bidirectional(Gru(6), Gru(6))
    x = torch.randn(2, 9, 6)
    assert torch.allclose(Bidirectional(pair.against, pair.along)(x.flip(1)), pair(x).flip(1), atol=1e-6)


def test_reversing_twice_changes_nothing():
    x = torch.randn(4, 7, 3)
    lengths = torch.tensor([7, 3, 0, 1])
    once = reversed_in_time(x, lengths)
    assert torch.equal(once[1, :3], x[1, :3].flip(0)) and torch.equal(once[1, 3:], x[1, 3:])
    assert torch.equal(reversed_in_time(once, lengths), x)
    assert torch.equal(reversed_in_time(x), x.flip(1))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="widths 3 and 4"):
        Bidirectional(Gru(3), Gru(4))
    with pytest.raises(InputError, match="unknown family of layers 'rnn'"):
        BidirectionalStack("rnn", 8, 1)
    with pytest.raises(InputError, match="layers=0"):
        BidirectionalStack("gru", 8, 0)
    with pytest.raises(InputError, match=r"the input has shape \(2, 5, 7\)"):
        BidirectionalStack("gru", 8, 1)(torch.zeros(2, 5, 7))
