"""The elastic layer: where the dipoles in it go when the head of the stylus moves.

The layer is bonded to the board, so a point moves by its share of the height above the board times what the surface
does there. The surface follows the head with a Gaussian of the distance rho from the head's centre, of width sigma:
a bonded layer that is thin beside the pad confines what a half-space (Boussinesq, Cerruti) would spread as 1 / rho.

    u(rho) = g(rho) (d + theta x rho + nu d_z rho / sigma),    g = exp(-rho^2 / (2 sigma^2))

d (3,) is how the head moves, theta (x, y) how it tilts, and the last term how the incompressible layer gives way to the
sides. Frame ``skin``: x and y in the board, z out of its back, so that the layer is below the board (z < 0) and a head
that is pressed in moves by +z. Positions in m, angles in rad.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core.config import setting
from knuckle.hardware.spec.hand_spec import Array


@dataclass(frozen=True)
class LayerConfig:
    """Size and magnetisation of the layer: of the order of a ReSkin pad of 20 by 20 by 2 mm."""

    rows: int = setting(5, "dipoles along each side of the pad", low=1, high=20)
    pitch: float = setting(4e-3, "distance of neighbouring dipoles", low=5e-4, high=0.02, unit="m")
    gap: float = setting(1.5e-3, "from the magnetometers to the layer", low=1e-4, high=0.02, unit="m")
    height: float = setting(2e-3, "height of the layer; the dipoles are in its middle", low=2e-4, high=0.02, unit="m")
    moment: float = setting(4e-5, "moment of a dipole, out of the board's back", low=1e-8, high=1e-2, unit="A m^2")
    moment_spread: float = setting(0.15, "deviation of the moments, of a moment, each axis", low=0.0, high=1.0)
    place_spread: float = setting(2e-4, "deviation of the dipoles' places, each axis", low=0.0, high=1e-3, unit="m")
    sigma: float = setting(4e-3, "width of the surface's displacement", low=5e-4, high=0.02, unit="m")
    sideways: float = setting(0.4, "nu: how far the layer gives way to the sides", low=0.0, high=1.0)


@dataclass(frozen=True)
class ElasticLayer:
    """One pad: dipoles at rest at ``places`` (D, 3) with ``moments`` (D, 3) A m^2."""

    config: LayerConfig
    places: Array
    moments: Array

    def moved(self, head: Array, centre: Array) -> Array:
        """Where the dipoles are, (T, D, 3), when the head has gone ``head`` (T, 5): x, y, z, and tilts about x and y.

        ``centre`` (2,) is where on the pad the head sits.
        """
        config = self.config
        rho = self.places[:, :2] - centre
        bell = np.exp(-0.5 * (rho**2).sum(axis=1) / config.sigma**2)
        share = (-self.places[:, 2] - config.gap) / config.height
        d, tilt = head[:, None, :3], head[:, None, 3:]
        surface = np.broadcast_to(d, (len(head), len(rho), 3)).copy()
        surface[..., 2] += tilt[..., 0] * rho[:, 1] - tilt[..., 1] * rho[:, 0]
        surface[..., :2] += config.sideways / config.sigma * d[..., 2:] * rho
        return np.asarray(self.places + (bell * share)[:, None] * surface)


def draw_layer(config: LayerConfig, rng: np.random.Generator) -> ElasticLayer:
    """A pad as it comes from the mould: dipoles near a grid, with moments near those wanted."""
    line = (np.arange(config.rows) - 0.5 * (config.rows - 1)) * config.pitch
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    places = np.column_stack([grid, np.full(len(grid), -config.gap - 0.5 * config.height)])
    places += config.place_spread * rng.standard_normal(places.shape)
    places[:, 2] = np.clip(places[:, 2], -config.gap - config.height, -config.gap)
    moments = config.moment * (np.array([0.0, 0.0, 1.0]) + config.moment_spread * rng.standard_normal(places.shape))
    return ElasticLayer(config, places, moments)
