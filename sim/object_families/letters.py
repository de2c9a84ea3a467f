"""Block letters of stout strokes, 44 to 48 mm thick."""

from __future__ import annotations

from knuckle.hardware.spec.object_shape import ObjectShape, shape
from knuckle.sim.object_families.solids import Family, box, turn

Stroke = tuple[float, float, float, float]
"""Half width, half height, centre x, centre y of a stroke in the letter's plane, m."""


def letter(
    name: str,
    strokes: list[Stroke],
    half_thickness: float,
    mass: float,
    colour: tuple[float, float, float],
    lean: dict[int, float] | None = None,
) -> ObjectShape:
    """A letter in the x y plane; ``lean`` turns single strokes in it, by degrees."""
    turns = lean or {}
    parts = [
        box((half_x, half_y, half_thickness), (x, y, 0.0), turn("z", turns.get(k, 0.0)))
        for k, (half_x, half_y, x, y) in enumerate(strokes)
    ]
    return shape(name, mass, parts, colour)


def letter_f() -> ObjectShape:
    """An F, 0.125 m tall and 0.044 m thick."""
    strokes = [(0.014, 0.0625, 0.0, 0.0), (0.024, 0.013, 0.038, 0.0495), (0.018, 0.012, 0.032, 0.004)]
    return letter("letter_f", strokes, 0.022, 0.110, (0.85, 0.33, 0.24))


def letter_j() -> ObjectShape:
    """A J with a serif, 0.118 m tall and 0.046 m thick: stem, foot, hook, serif."""
    strokes = [
        (0.014, 0.059, 0.0, 0.0),
        (0.021, 0.014, -0.035, -0.045),
        (0.010, 0.017, -0.046, -0.016),
        (0.010, 0.010, 0.024, 0.049),
    ]
    return letter("letter_j", strokes, 0.023, 0.130, (0.20, 0.45, 0.80))


def letter_g() -> ObjectShape:
    """A G, 0.110 m tall and 0.044 m thick: back, short top, long foot, chin, tongue."""
    strokes = [
        (0.013, 0.055, -0.036, 0.0),
        (0.021, 0.012, -0.002, 0.043),
        (0.030, 0.013, 0.007, -0.042),
        (0.013, 0.020, 0.034, -0.009),
        (0.013, 0.010, 0.012, 0.001),
    ]
    return letter("letter_g", strokes, 0.022, 0.150, (0.35, 0.62, 0.35))


def letter_p() -> ObjectShape:
    """A P, 0.130 m tall and 0.048 m thick: stem, top, bowl, waist."""
    strokes = [
        (0.014, 0.065, 0.0, 0.0),
        (0.018, 0.011, 0.032, 0.054),
        (0.012, 0.034, 0.060, 0.031),
        (0.018, 0.011, 0.032, 0.008),
    ]
    return letter("letter_p", strokes, 0.024, 0.170, (0.62, 0.38, 0.66))


def letter_r() -> ObjectShape:
    """An R, 0.125 m tall and 0.044 m thick: stem, top, deep bowl, waist, slanted leg."""
    strokes = [
        (0.013, 0.062, 0.0, 0.0),
        (0.020, 0.011, 0.033, 0.051),
        (0.012, 0.029, 0.065, 0.033),
        (0.020, 0.010, 0.033, 0.014),
        (0.010, 0.034, 0.036, -0.028),
    ]
    return letter("letter_r", strokes, 0.022, 0.120, (0.91, 0.52, 0.18), lean={4: 28.0})


LETTERS: Family = {
    "letter_f": letter_f,
    "letter_j": letter_j,
    "letter_g": letter_g,
    "letter_p": letter_p,
    "letter_r": letter_r,
}
