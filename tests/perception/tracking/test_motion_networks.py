"""MTP and TrackSSM: numpy says what torch says, training goes on as it would have, and they learn what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from knuckle.core.errors import InputError  # noqa: E402
from knuckle.perception.tracking.mtp_motion import MtpMotion  # noqa: E402
from knuckle.perception.tracking.net_settings import FitConfig, MtpConfig, TrackSsmConfig  # noqa: E402
from knuckle.perception.tracking.net_start import exported, make_net, start  # noqa: E402
from knuckle.perception.tracking.ridge_motion import relative  # noqa: E402
from knuckle.perception.tracking.simulated_motion import simulated  # noqa: E402
from knuckle.perception.tracking.track_features import track_features  # noqa: E402
from knuckle.perception.tracking.track_ssm_motion import TrackSsmMotion  # noqa: E402
from knuckle.perception.tracking.track_windows import noisy, stretches  # noqa: E402
from knuckle.perception.tracking.unrolled_tracks import UnrolledTracks  # noqa: E402

SMALL = (MtpConfig(width=8, layers=1, state=4), TrackSsmConfig(width=8, encoder=1, decoder=2, state=4, rank=2))
NAMES = ("mtp", "trackssm")
FIT = FitConfig(updates=12, round=4, batch=16, warm=1)


@pytest.fixture(scope="module")
def windows() -> Any:
    return stretches([simulated("players", seed, 120) for seed in range(2)], 30, 4)


def shaken(name: str) -> Any:
    """A network whose every weight matters."""
    net = make_net(name, *SMALL, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return net


@pytest.mark.parametrize("name", NAMES)
def test_numpy_says_what_torch_says(name: str, windows: Any) -> None:
    net = shaken(name)
    weights = exported(net, windows, 0)
    rows = net.config.history
    length = np.arange(20) % rows + 1
    seen = np.random.default_rng(0).random((20, rows)) < 0.8
    features = track_features(windows[:20, :rows, :4], seen, length, windows[:20, :rows, 4:])
    with torch.no_grad():
        said = net(torch.from_numpy(features))
    if name == "mtp":
        offset, scale = MtpMotion(0.04, weights).forward(features)
        assert np.allclose(scale, said[1].numpy(), atol=1e-5)
        said = said[0]
    else:
        offset, said = TrackSsmMotion(0.04, weights).forward(features), said[-1]
    assert np.abs(said.numpy()).max() > 0.01
    assert np.allclose(offset, said.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_training_that_was_broken_off_has_the_same_next_loss(name: str, windows: Any, tmp_path: Path) -> None:
    whole = start(make_net(name, *SMALL, 3), windows, FIT, 3)
    losses = [whole.round() for _ in range(3)]
    first = start(make_net(name, *SMALL, 3), windows, FIT, 3)
    first.round()
    first.keep(tmp_path / "checkpoint.safetensors")
    second = start(make_net(name, *SMALL, 3), windows, FIT, 3)
    second.restore(tmp_path / "checkpoint.safetensors")
    assert [second.round(), second.round()] == losses[1:]
    assert second.complete and second.done == 12


def test_a_checkpoint_that_is_broken_or_another_s_is_refused(windows: Any, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    fit = start(make_net("mtp", *SMALL, 3), windows, FIT, 3)
    fit.round()
    fit.keep(path)
    with pytest.raises(InputError, match="seed 3, not 4"):
        start(make_net("mtp", *SMALL, 3), windows, FIT, 4).restore(path)
    with pytest.raises(InputError, match="cannot be read"):
        start(make_net("trackssm", *SMALL, 3), windows, FIT, 3).restore(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read"):
        start(make_net("mtp", *SMALL, 3), windows, FIT, 3).restore(path)


@pytest.mark.parametrize("name", NAMES)
def test_losses_fall(name: str, windows: Any) -> None:
    fit = start(make_net(name, *SMALL, 0), windows, FitConfig(updates=60, round=20, batch=64, warm=5, rate=1e-2), 0)
    losses = [fit.round() for _ in range(3)]
    assert losses[2] < losses[0]


def test_a_flow_s_steps_learn_each_its_own_part_and_nothing_of_the_others() -> None:
    net = shaken("trackssm")
    features = torch.randn((6, 10, 14), generator=torch.Generator().manual_seed(0))
    steps = net(features)
    steps[1].sum().backward()
    assert all(weight.grad is None for weight in net.decoder[0].parameters())
    assert any(weight.grad is not None for weight in net.decoder[1].parameters())
    # The loss is least where the steps lie on the straight way to the target.
    target = torch.full((6, 4), 0.3)
    net.forward = lambda x: [target / 2, target]
    loss, offsets = net.learn(features, target)
    assert float(loss) == 0.0 and torch.equal(offsets, target)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_begins_as_the_best_linear_map(name: str, windows: Any) -> None:
    net = make_net(name, *SMALL, 0)
    start(net, windows, FIT, 0)
    past = noisy(windows[:, :10, :4], np.random.default_rng(5))
    features = track_features(past, np.ones(past.shape[:2], dtype=bool), np.full(len(past), 10), windows[:, :10, 4:])
    target = relative(windows[:, 10:11, :4], past[:, -1])[:, 0]
    with torch.no_grad():
        said = net(torch.from_numpy(features))
    offset = said[0 if name == "mtp" else -1].numpy()
    assert np.abs(offset - target).mean() < 0.9 * np.abs(target).mean()


def test_unrolled_tracks_hold_what_was_seen_and_where_nothing_was_what_was_predicted_and_moved_as_the_scene(
    windows: Any,
) -> None:
    tracks = UnrolledTracks(windows, 10, 32, np.random.default_rng(0))
    predicted = np.full((32, 4), 0.05)
    for _ in range(40):
        features, target = tracks.features()
        assert np.isfinite(features).all() and np.isfinite(target).all()
        newest, at, left = tracks.boxes[:, -1].copy(), tracks.at.copy(), tracks.left.copy()
        hit = tracks.hit[np.arange(32), at]
        tracks.step(predicted)
        for k in np.flatnonzero((left > 1) & hit):
            assert (tracks.boxes[k, -1] == tracks.observed[k, at[k]]).all() and tracks.seen[k, -1]
        for k in np.flatnonzero((left > 1) & ~hit):
            path = tracks.path[k]
            surprise = path[-1, 0] - path[-2, 0] - (path[-2, 0] - path[-6, 0]) / 4
            assert tracks.boxes[k, -1, 0] == pytest.approx(newest[k, 0] + 0.05 * newest[k, 2] + surprise)
            assert not tracks.seen[k, -1]


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_finite_for_tracks_of_any_size_and_age(name: str, windows: Any) -> None:
    weights = exported(shaken(name), windows, 0)
    model = {"mtp": MtpMotion, "trackssm": TrackSsmMotion}[name](0.04, weights)
    from knuckle.perception.tracking.motion_model import no_history

    boxes = np.array([[0.0, 0.0, 1.0, 1.0], [9e5, -9e5, 1.0, 9e5], [640.0, 360.0, 40.0, 80.0]])
    history = no_history(model.rows, 0.04, 0).begin(boxes, model.begin(boxes))
    for dt in (0.001, 0.04, 0.13, 1.9):
        mean, covariance = model.predict(history, dt)
        assert mean.shape == (3, 4) and covariance.shape == (3, 4, 4)
        assert np.isfinite(mean).all() and np.isfinite(covariance).all() and (mean[:, 2:] > 0.0).all()
        history = history.push(mean, np.zeros(3, dtype=bool), dt, np.zeros((3, 0)))
