"""PNG pictures: another reader gives back what was written."""

from __future__ import annotations

import io

import numpy as np
import pytest

from knuckle.core.errors import InputError
from knuckle.sim.picture import png, tiled

av = pytest.importorskip("av")


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (64, 33, 3)])
def test_a_png_holds_its_pixels(shape: tuple[int, int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with av.open(io.BytesIO(png(rgb))) as container:
        (frame,) = container.decode(video=0)
        np.testing.assert_array_equal(frame.to_ndarray(format="rgb24"), rgb)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_colour_picture_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InputError, match="a frame of shape"):
        png(bad)


def test_tiles_lie_row_by_row_with_white_between_and_after() -> None:
    frames = [np.full((3, 4, 3), 10 * (k + 1), np.uint8) for k in range(3)]
    sheet = tiled(frames, columns=2, gap=1)
    assert sheet.shape == (7, 9, 3)
    assert (sheet[:3, :4] == 10).all() and (sheet[:3, 5:] == 20).all() and (sheet[4:, :4] == 30).all()
    assert (sheet[3] == 255).all() and (sheet[:, 4] == 255).all() and (sheet[4:, 5:] == 255).all()
