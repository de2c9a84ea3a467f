"""The magnetic field of point dipoles.

B(r) = mu0 / (4 pi) (3 (m . r^) r^ - m) / |r|^3 for a moment m at the origin (Jackson, Classical Electrodynamics, 3rd
edition, equation 5.56, outside the dipole itself).
"""

from __future__ import annotations

import numpy as np

from knuckle.hardware.spec.hand_spec import Array

MU0_OVER_4PI = 1e-7
"""In T m / A."""


def dipole_field(sources: Array, moments: Array, points: Array) -> Array:
    """The field in T at ``points`` (S, 3) of dipoles at ``sources`` (..., D, 3) with ``moments`` (D, 3): (..., S, 3).

    Positions in m and moments in A m^2, all in one frame. The field at a source itself is infinite: it comes as NaN.
    """
    away = points[:, None, :] - sources[..., None, :, :]
    squared = np.einsum("...i,...i->...", away, away)
    with np.errstate(divide="ignore", invalid="ignore"):
        cubed = squared * np.sqrt(squared)
        along = 3.0 * np.einsum("...di,di->...d", away, moments) / (squared * cubed)
        of_away = np.einsum("...d,...di->...i", along, away)
        of_moment = np.einsum("...d,di->...i", 1.0 / cubed, moments)
    return np.asarray(MU0_OVER_4PI * (of_away - of_moment))
