"""Noise like that of a RealSense D415: disparity in coarse steps, and holes along depth edges.

A stereo camera measures disparity d = f b / z; noise and steps are even in d, so that errors grow with z squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knuckle.core.config import setting
from knuckle.hardware.spec.contracts import Intrinsics

# The D415's sensor is 1280 pixels wide where its depth is computed, and smaller images are made from that.
NATIVE_WIDTH = 1280


@dataclass(frozen=True)
class DepthNoise:
    """Settings of the noise model."""

    baseline: float = setting(0.055, "distance of the two imagers", low=0.01, high=0.5, unit="m")
    step: float = setting(1.0 / 32.0, "least step of disparity", low=1e-3, high=1.0, unit="px")
    sigma: float = setting(0.08, "deviation of disparity", low=0.0, high=2.0, unit="px")
    edge: float = setting(0.02, "depth jump to a neighbour that counts as an edge", low=1e-3, high=1.0, unit="m")
    edge_dropout: float = setting(0.5, "share of edge pixels not measured", low=0.0, high=1.0)


def add_noise(
    depth: NDArray[np.float32], intrinsics: Intrinsics, noise: DepthNoise, rng: np.random.Generator
) -> NDArray[np.float32]:
    """``depth`` (height, width) in m as the camera would measure it; 0 where it would measure nothing."""
    z = depth.astype(np.float64)
    scale = intrinsics.fx * NATIVE_WIDTH / intrinsics.width * noise.baseline
    disparity = scale / np.maximum(z, 1e-3) + noise.sigma * rng.standard_normal(z.shape)
    disparity = np.maximum(np.round(disparity / noise.step), 1.0) * noise.step
    measured = scale / disparity
    lost = _edges(z, noise.edge) & (rng.uniform(size=z.shape) < noise.edge_dropout)
    return np.where((z <= 0.0) | lost, 0.0, measured).astype(np.float32)


def _edges(z: NDArray[np.float64], jump: float) -> NDArray[np.bool_]:
    """Pixels beside which depth jumps by more than ``jump``."""
    edge = np.zeros(z.shape, dtype=bool)
    across, down = np.abs(np.diff(z, axis=1)) > jump, np.abs(np.diff(z, axis=0)) > jump
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return edge
