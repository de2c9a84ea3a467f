"""The simulated skin's physics: fields, memory of the layer, contact, symmetry, and that strokes are drawn once."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knuckle.core.errors import ConfigError, InputError, RunError
from knuckle.sim.skin.dipole_field import MU0_OVER_4PI, dipole_field
from knuckle.sim.skin.elastic_layer import LayerConfig, draw_layer
from knuckle.sim.skin.hysteresis import HysteresisConfig, creep, play
from knuckle.sim.skin.magnetometers import MagnetometerConfig, draw_magnetometers
from knuckle.sim.skin.skin_stroke import CHUNK, GraspConfig, MagneticSkin, SkinConfig, from_pairs
from knuckle.sim.skin.stroke_plan import StrokeConfig, StrokePlan, draw_stroke
from knuckle.sim.skin.writing_world import STEP_S, Sheet, WritingWorld

IDEAL_BOARD = MagnetometerConfig(
    gain_spread=0.0, turned=0.0, crosstalk=0.0, wander=0.0, noise=0.0, step_xy=0.0, step_z=0.0, earth=0.0
)
IDEAL = SkinConfig(
    grasp=GraspConfig(off_centre=0.0),
    layer=LayerConfig(moment_spread=0.0, place_spread=0.0),
    magnetometers=IDEAL_BOARD,
)
SHORT = StrokeConfig(shortest=2.0, longest=4.0)
SMOOTH = Sheet(friction=0.3, drag=3.0, grain_angle=0.0, grain_phase=0.0)


def plan_of(place: np.ndarray, lift: float = 0.0, force: float = 1.0) -> StrokePlan:
    n = len(place)
    return StrokePlan(STEP_S, place, np.full(n, lift), np.full(n, force), np.zeros((n, 3)))


def wave(seconds: float = 2.0) -> np.ndarray:
    t = np.arange(round(seconds / STEP_S)) * STEP_S
    return np.stack([0.02 * (1.0 - np.cos(3.0 * t)), 0.01 * (1.0 - np.cos(5.0 * t))], axis=1)


def test_a_dipole_has_the_field_of_the_closed_form_on_its_axis_and_beside_it() -> None:
    moment, r = 3e-4, 0.01
    points = np.array([[0.0, 0.0, r], [r, 0.0, 0.0], [0.0, 0.0, -r]])
    field = dipole_field(np.zeros((1, 3)), np.array([[0.0, 0.0, moment]]), points)
    along = 2.0 * MU0_OVER_4PI * moment / r**3
    np.testing.assert_allclose(field, [[0, 0, along], [0, 0, -0.5 * along], [0, 0, along]], atol=1e-18)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_field_has_no_sources_and_no_curl_and_adds_up(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources, moments = 0.01 * rng.standard_normal((3, 3)), rng.standard_normal((3, 3))
    point = np.array([0.2, 0.1, -0.15]) + 0.01 * rng.standard_normal(3)
    h = 1e-5
    stencil = np.concatenate([point + h * np.eye(3), point - h * np.eye(3)])
    field = dipole_field(sources, moments, stencil)
    gradient = (field[:3] - field[3:]) / (2.0 * h)  # [i, j] = d_i B_j
    assert abs(np.trace(gradient)) < 1e-6 * np.abs(gradient).max()
    np.testing.assert_allclose(gradient, gradient.T, atol=1e-6 * np.abs(gradient).max())
    alone = sum(dipole_field(sources[k : k + 1], moments[k : k + 1], stencil) for k in range(3))
    np.testing.assert_allclose(field, alone, rtol=1e-9, atol=1e-12 * np.abs(field).max())


def test_the_layer_does_not_move_at_the_board_and_most_under_the_head() -> None:
    layer = draw_layer(LayerConfig(moment_spread=0.0, place_spread=0.0), np.random.default_rng(0))
    head = np.array([[1e-4, 0.0, 2e-4, 0.0, 0.0]])
    moved = layer.moved(head, np.zeros(2))[0] - layer.places
    middle = np.argmin((layer.places[:, :2] ** 2).sum(axis=1))
    np.testing.assert_allclose(moved[middle], 0.5 * head[0, :3])  # the dipoles are at half the height
    assert np.argmax(np.linalg.norm(moved, axis=1)) == middle
    bonded = dataclasses.replace(layer, places=layer.places * [1, 1, 0] - [0.0, 0.0, layer.config.gap])
    np.testing.assert_array_equal(bonded.moved(head, np.zeros(2))[0], bonded.places)


def test_creep_reaches_its_share_and_forgets_it() -> None:
    config = HysteresisConfig()
    x = np.concatenate([np.zeros((1, 1)), np.ones((40_000, 1)), np.zeros((40_000, 1))])
    y = creep(x, 4e-3, config)[1:]
    assert y[0, 0] < 1.02
    assert y[39_999, 0] == pytest.approx(1.0 + config.creep_fast + config.creep_slow, rel=1e-6)
    assert abs(y[-1, 0]) < 1e-6


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), weight=st.floats(0.1, 1.0))
def test_a_loop_of_play_closes_dissipates_and_knows_no_time(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    turns = np.concatenate([[0.0], rng.uniform(-1.0, 1.0, 6), [0.0]])
    cycle = np.concatenate([np.linspace(a, b, 50) for a, b in itertools.pairwise(turns)])
    x = np.tile(cycle, 3)[:, None]
    y = play(x, np.array([0.2]), weight)[:, 0]
    second, third = y[len(cycle) : 2 * len(cycle)], y[2 * len(cycle) :]
    np.testing.assert_allclose(second, third, atol=1e-12)
    # What drives the layer by x, and moves it by y, does work in a closed cycle, and gets none back.
    work = np.sum(0.5 * (cycle[1:] + cycle[:-1]) * np.diff(third))
    assert work > -1e-12
    assert work > 0.0 or np.ptp(cycle) < 0.1
    slower = play(np.repeat(x, 2, axis=0), np.array([0.2]), weight)[1::2, 0]
    np.testing.assert_array_equal(slower, y)


def test_a_layer_without_memory_follows_its_surface() -> None:
    none = HysteresisConfig(creep_fast=0.0, creep_slow=0.0, play_weight=0.0)
    head = np.random.default_rng(0).standard_normal((50, 5))
    np.testing.assert_array_equal(MagneticSkin(SkinConfig(hysteresis=none)).remembered(head), head)


def test_the_hand_writes_what_it_means_to_and_presses_as_hard() -> None:
    writing = WritingWorld().write(plan_of(wave(), force=1.2), SMOOTH)
    assert np.abs(writing.place - wave()[19::20]).max() < 5e-3
    late = writing.force[20:]
    assert np.median(late[:, 2]) == pytest.approx(1.2, rel=0.15)  # a stylus that leans is shorter
    # The sheet holds the tip back: the force of friction and drag is against the way it goes.
    way = np.diff(np.vstack([writing.begin, writing.place]), axis=0)[20:]
    power = (late[:, :2] * way).sum(axis=1)
    moving = np.linalg.norm(way, axis=1) > 2e-4
    assert (power[moving] < 0.0).mean() > 0.97
    # Coulomb's share and the drag's, of the normal force, where the grain has no say.
    speed = np.linalg.norm(way, axis=1) / 0.02
    ratio = np.linalg.norm(late[:, :2], axis=1) / late[:, 2]
    slope, start = np.polyfit(speed[moving], ratio[moving], 1)
    assert slope == pytest.approx(SMOOTH.drag, rel=0.25)
    assert start == pytest.approx(SMOOTH.friction, rel=0.25)


def test_a_hand_at_rest_presses_as_hard_as_it_means_to() -> None:
    for force in (0.6, 1.6):
        writing = WritingWorld().write(plan_of(np.zeros((800, 2)), force=force), SMOOTH)
        np.testing.assert_allclose(writing.force[-1], [0.0, 0.0, force], atol=0.05 * force)


def test_a_lifted_stylus_gives_no_signal_beyond_noise_and_drift() -> None:
    skin = MagneticSkin(SkinConfig(magnetometers=MagnetometerConfig(wander=0.0)), seed=4)
    writing = skin._world.write(plan_of(wave(4.0), lift=4e-3), SMOOTH)
    assert (writing.force == 0.0).all()
    lifted = skin.feel(writing, np.zeros(2), np.random.default_rng(0))
    assert lifted.std(axis=0).max() < 1.5 * skin.config.magnetometers.noise
    pressed = skin.feel(skin._world.write(plan_of(wave(4.0)), SMOOTH), np.zeros(2), np.random.default_rng(0))
    assert pressed.std(axis=0).max() > 20.0 * skin.config.magnetometers.noise


def test_a_mirrored_stroke_gives_mirrored_signals() -> None:
    skin = MagneticSkin(IDEAL)
    rng = np.random.default_rng(0)
    mirrored = wave() * [-1.0, 1.0]
    here, there = (skin._world.write(plan_of(place), Sheet(0.3, 3.0, np.pi / 2, 0.0)) for place in (wave(), mirrored))
    a, b = (skin.feel(w, np.zeros(2), rng).reshape(-1, 5, 3) for w in (here, there))
    # East and west change places, and so does the sign of what points there.
    expected = a[:, [0, 2, 1, 3, 4]] * [-1.0, 1.0, 1.0]
    assert np.abs(b - expected).max() < 0.01 * np.abs(a - a[:1]).max()


def test_the_earths_field_turns_with_the_tool() -> None:
    board = draw_magnetometers(dataclasses.replace(IDEAL_BOARD, earth=49.0), np.random.default_rng(0))
    upright, upside_down = np.array([1.0, 0.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0])
    none = np.zeros((2, 5, 3))
    signals = board.read(none, np.stack([upright, upside_down]), 0.02, np.random.default_rng(0)).reshape(2, 5, 3)
    north, down = 49.0 * np.cos(1.15), 49.0 * np.sin(1.15)
    np.testing.assert_allclose(signals[0], np.tile([0.0, north, -down], (5, 1)), atol=1e-12)
    np.testing.assert_allclose(signals[1], np.tile([0.0, north, down], (5, 1)), atol=1e-12)


def test_noise_drift_and_steps_have_the_sizes_asked_for() -> None:
    still = np.tile([1.0, 0.0, 0.0, 0.0], (4000, 1))
    none = np.zeros((4000, 5, 3))

    def read(**changes: float) -> np.ndarray:
        board = draw_magnetometers(dataclasses.replace(IDEAL_BOARD, **changes), np.random.default_rng(1))
        return board.read(none, still, 0.02, np.random.default_rng(2))

    assert read(noise=1.5).std() == pytest.approx(1.5, rel=0.03)
    assert np.diff(read(wander=2.0), axis=0).std() == pytest.approx(2.0 * np.sqrt(0.02), rel=0.03)
    stepped = read(noise=1.5, step_xy=0.5, step_z=0.25).reshape(-1, 3) / [0.5, 0.5, 0.25]
    np.testing.assert_allclose(stepped, np.rint(stepped), atol=1e-9)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_plans_keep_to_their_times_and_their_sheet(seed: int) -> None:
    config = dataclasses.replace(SHORT, half_side=0.05, pauses=0.2, lifts=0.2)
    plan = draw_stroke(config, STEP_S, np.random.default_rng(seed))
    assert 2000 <= len(plan) <= 4000
    assert len(plan) % 200 == 0
    assert np.abs(plan.place).max() < 0.05 + 0.02  # filters swing beyond by what they lag
    assert plan.lift[0] == pytest.approx(config.lift_height, rel=1e-3)
    assert (plan.force > 0.0).all()
    speed = np.linalg.norm(np.diff(plan.place, axis=0), axis=1) / STEP_S
    assert speed.max() <= config.fastest * (1.0 + 1e-9)


def test_strokes_are_the_same_bits_in_any_order_and_others_under_another_seed() -> None:
    config = SkinConfig(stroke=SHORT)
    first, second = MagneticSkin(config, seed=7), MagneticSkin(config, seed=7)
    second.stroke(0)
    a, b = first.stroke(3), second.stroke(3)
    for name in ("signals", "velocity", "place", "force"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    assert a.signals.shape == (CHUNK * len(a.velocity), 15)
    again = first.stroke(3, again=1)
    assert again.velocity.tobytes() == a.velocity.tobytes()
    difference = (again.signals - a.signals).std()
    assert 1.0 < difference < 5.0
    assert MagneticSkin(config, seed=8).stroke(3).velocity.shape != a.velocity.shape or not np.allclose(
        MagneticSkin(config, seed=8).stroke(3).velocity, a.velocity
    )


def test_the_target_is_the_way_of_the_tip_within_its_chunk() -> None:
    stroke = MagneticSkin(SkinConfig(stroke=SHORT), seed=1).stroke(0)
    ends = stroke.place[CHUNK - 1 :: CHUNK]
    np.testing.assert_allclose(stroke.velocity[1:], np.diff(ends, axis=0) / 0.2, atol=1e-12)
    assert np.abs(stroke.velocity[0]).max() < 1e-3  # lifted and still at first


def test_a_simulation_that_breaks_down_says_so() -> None:
    plan = plan_of(wave(0.4))
    plan.force[100] = np.nan
    with pytest.raises(RunError, match="skin: the simulation broke down"):
        WritingWorld().write(plan, SMOOTH)


def test_settings_are_set_by_group_and_name_and_refused_by_them() -> None:
    config = from_pairs({"magnetometers.noise": "2.5", "stroke.lifts": "0"}, where="--settings")
    assert (config.magnetometers.noise, config.stroke.lifts) == (2.5, 0.0)
    assert config.layer == LayerConfig()
    with pytest.raises(InputError, match=r"unknown setting 'magnetometer\.noise'; did you mean 'magnetometers\.noise'"):
        from_pairs({"magnetometer.noise": "2"}, where="--settings")
    with pytest.raises(ConfigError, match=r"--settings magnetometers\.noise: .*0 to 100 uT"):
        from_pairs({"magnetometers.noise": "-1"}, where="--settings")
    with pytest.raises(ConfigError, match="layer.height"):
        MagneticSkin(SkinConfig(layer=LayerConfig(height=float("nan"))))
    with pytest.raises(ConfigError, match=r"stroke\.longest"):
        draw_stroke(StrokeConfig(shortest=20.0, longest=10.0), STEP_S, np.random.default_rng(0))
