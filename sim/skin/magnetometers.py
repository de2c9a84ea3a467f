"""Five magnetometers of three axes under the layer: what they make of the field, and what they add to it.

One in the middle and four around it, as on the board of ReSkin. Each reads the field of the dipoles and the earth's,
which turns with the tool; with its own gains, a little turned, with a little of every other channel, an offset that
wanders, white noise, and steps of its converter. Sizes are of the order of a Melexis MLX90393 at its highest gain.
Fields in uT here, as the signals are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array

SENSORS, CHANNELS = 5, 15


@dataclass(frozen=True)
class MagnetometerConfig:
    """Where the magnetometers are and what is wrong with them."""

    spread: float = setting(5.5e-3, "from the middle one to the four others", low=1e-3, high=0.05, unit="m")
    gain_spread: float = setting(0.05, "deviation of the channels' gains", low=0.0, high=0.5)
    turned: float = setting(2.0, "deviation of the chips' mounting, about each axis", low=0.0, high=45.0, unit="deg")
    crosstalk: float = setting(0.01, "deviation of what a channel has of each other one", low=0.0, high=0.2)
    wander: float = setting(1.0, "growth of the offset in one root second", low=0.0, high=100.0, unit="uT/sqrt(s)")
    noise: float = setting(1.0, "white noise of one sample", low=0.0, high=100.0, unit="uT")
    step_xy: float = setting(0.15, "step of the converter in x and y; 0 for none", low=0.0, high=10.0, unit="uT")
    step_z: float = setting(0.242, "step of the converter in z; 0 for none", low=0.0, high=10.0, unit="uT")
    earth: float = setting(49.0, "strength of the earth's field", low=0.0, high=100.0, unit="uT")
    dip: float = setting(1.15, "angle of the earth's field below the horizon", low=-1.57, high=1.57, unit="rad")

    @property
    def places(self) -> Array:
        """Where they are, (5, 3) m, in the frame of the skin: the middle, +x, -x, +y, -y."""
        s = self.spread
        return np.array([[0.0, 0.0, 0.0], [s, 0.0, 0.0], [-s, 0.0, 0.0], [0.0, s, 0.0], [0.0, -s, 0.0]])

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels, in order: bx0, by0, bz0, bx1, ..."""
        return tuple(f"b{axis}{k}" for k in range(SENSORS) for axis in "xyz")

    @property
    def earth_field(self) -> Array:
        """The earth's field (3,) in the world's frame, uT: x is east and y magnetic north."""
        return self.earth * np.array([0.0, math.cos(self.dip), -math.sin(self.dip)])


@dataclass(frozen=True)
class Magnetometers:
    """One board: ``mixing`` (15, 15) is what its channels make of the true field."""

    config: MagnetometerConfig
    mixing: Array

    def read(self, skin_field: Array, world_q_tool: Array, dt: float, rng: np.random.Generator) -> Array:
        """Samples (T, 15) uT every ``dt`` s in the ``skin_field`` (T, 5, 3) uT of the dipoles.

        ``world_q_tool`` (T, 4) is how the tool stands, w x y z; ``rng`` draws noise and drift.
        """
        config, n = self.config, len(skin_field)
        earth = rotations.rotate(rotations.conjugate(world_q_tool), config.earth_field)
        signals = (skin_field + earth[:, None, :]).reshape(n, CHANNELS) @ self.mixing.T
        steps = rng.standard_normal((n, CHANNELS))
        signals += config.wander * math.sqrt(dt) * np.cumsum(steps, axis=0)
        signals += config.noise * rng.standard_normal((n, CHANNELS))
        step = np.tile([config.step_xy, config.step_xy, config.step_z], SENSORS)
        coarse = step > 0.0
        signals[:, coarse] = np.rint(signals[:, coarse] / step[coarse]) * step[coarse]
        return np.asarray(signals)


def draw_magnetometers(config: MagnetometerConfig, rng: np.random.Generator) -> Magnetometers:
    """A board as it comes from the oven."""
    turns = np.radians(config.turned) * rng.standard_normal((SENSORS, 3))
    mixing = np.zeros((CHANNELS, CHANNELS))
    for k, turn in enumerate(turns):
        mixing[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] = rotations.to_matrix(rotations.exp(turn))
    gains = 1.0 + config.gain_spread * rng.standard_normal(CHANNELS)
    leaks = config.crosstalk * rng.standard_normal((CHANNELS, CHANNELS))
    np.fill_diagonal(leaks, 0.0)
    return Magnetometers(config, (np.eye(CHANNELS) + leaks) @ (gains[:, None] * mixing))
