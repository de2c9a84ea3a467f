"""One stroke on the simulated skin, from what the hand means to what fifteen channels read.

Everything of stroke k is drawn from generators of (seed, k) alone, one for what happens and one for what the sensor
adds: strokes come out the same to the last bit in any order and in any process, and the same stroke can be read again
under other noise. The skin and its board are drawn from the seed once, for all strokes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from knuckle.core.config import describe, from_mapping, parse_text, setting, validate
from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.skin.dipole_field import dipole_field
from knuckle.sim.skin.elastic_layer import ElasticLayer, LayerConfig, draw_layer
from knuckle.sim.skin.hysteresis import HysteresisConfig, creep, play
from knuckle.sim.skin.magnetometers import MagnetometerConfig, Magnetometers, draw_magnetometers
from knuckle.sim.skin.stroke_plan import CHUNK_S, StrokeConfig, draw_stroke
from knuckle.sim.skin.writing_world import (
    STEP_S,
    STEPS_HEAD,
    STEPS_SAMPLE,
    Sheet,
    Writing,
    WritingConfig,
    WritingWorld,
    draw_sheet,
)

SAMPLE_S = STEPS_SAMPLE * STEP_S
CHUNK = round(CHUNK_S / SAMPLE_S)
"""Samples between two targets."""
_SKIN, _STROKE, _NOISE = 0, 1, 2
_UT_PER_T = 1e6


@dataclass(frozen=True)
class GraspConfig:
    """How the stylus sits in the skin, from stroke to stroke."""

    off_centre: float = setting(
        7e-4, "deviation of the head from the pad's middle, each axis", low=0.0, high=5e-3, unit="m"
    )


@dataclass(frozen=True)
class SkinConfig:
    """All settings of the simulated skin, in groups."""

    stroke: StrokeConfig = field(default_factory=StrokeConfig)
    writing: WritingConfig = field(default_factory=WritingConfig)
    grasp: GraspConfig = field(default_factory=GraspConfig)
    layer: LayerConfig = field(default_factory=LayerConfig)
    hysteresis: HysteresisConfig = field(default_factory=HysteresisConfig)
    magnetometers: MagnetometerConfig = field(default_factory=MagnetometerConfig)


@dataclass(frozen=True)
class SkinStroke:
    """One stroke of K chunks of 10 samples at 50 Hz; sample i is taken at (i + 1) / 50 s.

    ``signals`` (10 K, 15) uT; ``velocity`` (K, 2) m/s: how far the tip went between samples 10 k - 1 and 10 k + 9 (from
    the start for k = 0) by 0.2 s, so that a chunk ends with its target; ``place`` (10 K, 2) m of the tip; ``force``
    (10 K, 3) N of the sheet on the tip; all in the world's frame. ``sheet`` is what was written on.
    """

    signals: Array
    velocity: Array
    place: Array
    force: Array
    sheet: Sheet


class MagneticSkin:
    """A tool with a skin and a stylus, which writes strokes."""

    def __init__(self, config: SkinConfig = SkinConfig(), *, seed: int = 0) -> None:
        self.config, self.seed = config, seed
        for group in dataclasses.fields(config):
            validate(getattr(config, group.name), where=group.name)
        rng = np.random.default_rng((seed, _SKIN))
        self.layer: ElasticLayer = draw_layer(config.layer, rng)
        self.board: Magnetometers = draw_magnetometers(config.magnetometers, rng)
        self._world = WritingWorld(config.writing)

    def stroke(self, k: int, *, again: int = 0) -> SkinStroke:
        """Stroke ``k``; with another ``again`` the same writing under other noise and drift. RunError where the
        simulation breaks down."""
        rng = np.random.default_rng((self.seed, _STROKE, k))
        plan = draw_stroke(self.config.stroke, STEP_S, rng)
        sheet = draw_sheet(self.config.writing, rng)
        centre = self.config.grasp.off_centre * rng.standard_normal(2)
        writing = self._world.write(plan, sheet)
        signals = self.feel(writing, centre, np.random.default_rng((self.seed, _NOISE, k, again)))
        ends = np.vstack([writing.begin, writing.place[CHUNK - 1 :: CHUNK]])
        return SkinStroke(signals, np.diff(ends, axis=0) / CHUNK_S, writing.place, writing.force, sheet)

    def feel(self, writing: Writing, centre: Array, rng: np.random.Generator) -> Array:
        """The signals (T, 15) uT of ``writing`` with the head at ``centre`` (2,) m of the pad."""
        inside = self.remembered(writing.head)[STEPS_SAMPLE // STEPS_HEAD - 1 :: STEPS_SAMPLE // STEPS_HEAD]
        config = self.config.magnetometers
        moved = self.layer.moved(inside, centre)
        field_ut = _UT_PER_T * dipole_field(moved, self.layer.moments, config.places)
        return self.board.read(field_ut, writing.world_q_tool, SAMPLE_S, rng)

    def remembered(self, head: Array) -> Array:
        """How the inside of the layer follows its surface ``head`` (H, 5)."""
        config = self.config.hysteresis
        # The edge of the head moves by sigma times its tilt.
        reach = config.play_reach * np.array([1.0, 1.0, 1.0, *[1.0 / self.config.layer.sigma] * 2])
        return play(creep(head, STEPS_HEAD * STEP_S, config), reach, config.play_weight)


def as_table(config: SkinConfig) -> dict[str, dict[str, Any]]:
    """The settings as plain values, group by group."""
    return dataclasses.asdict(config)


def from_pairs(pairs: Mapping[str, str], *, where: str) -> SkinConfig:
    """The defaults with ``group.name`` set to texts; ConfigError for a value, InputError for a name that is none."""
    groups: dict[str, dict[str, Any]] = {group.name: {} for group in dataclasses.fields(SkinConfig)}
    types = {name: type(getattr(SkinConfig(), name)) for name in groups}
    specs = {f"{name}.{spec.name}": (name, spec) for name in groups for spec in describe(types[name])}
    for key, text in pairs.items():
        if key not in specs:
            raise unknown_name("setting", key, specs, where=where)
        name, spec = specs[key]
        groups[name][spec.name] = parse_text(spec, text, where=f"{where} {key}")
    return SkinConfig(**{name: from_mapping(types[name], values, where=name) for name, values in groups.items()})
