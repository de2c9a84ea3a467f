"""What the page is made of: meshes, words, and the small sums behind them."""

from __future__ import annotations

import math
import socket

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.errors import DeviceError
from knuckle.hardware.spec.hand_spec import Primitive
from knuckle.hardware.spec.primitive_distance import signed_distance

pytest.importorskip("viser")

TURN = tuple(float(v) for v in rotations.exp(np.array([0.3, -0.5, 0.2])))
SOLIDS = [
    (Primitive("box", (0.01, 0.02, 0.03), (0.1, 0.0, 0.2), TURN), 8 * 0.01 * 0.02 * 0.03, 1e-9),  # type: ignore[arg-type]
    (Primitive("sphere", (0.02,), (0.0, 0.1, 0.0)), 4 / 3 * math.pi * 0.02**3, 0.04),
    (Primitive("cylinder", (0.02, 0.01), (0.0, 0.1, 0.0)), math.pi * 0.02**2 * 0.02, 0.02),
    (
        Primitive("capsule", (0.01, 0.03), (0.0, 0.1, 0.0), TURN),  # type: ignore[arg-type]
        math.pi * 0.01**2 * 0.06 + 4 / 3 * math.pi * 0.01**3,
        0.04,
    ),
]


@pytest.mark.parametrize(("solid", "volume", "tolerance"), SOLIDS, ids=lambda v: getattr(v, "kind", ""))
def test_a_mesh_lies_on_its_primitive_is_closed_and_faces_outward(
    solid: Primitive, volume: float, tolerance: float
) -> None:
    from knuckle_ros.page.primitive_mesh import mesh_of

    mesh = mesh_of([solid])
    rim = signed_distance(solid, mesh.vertices)
    assert rim.max() < 1e-9
    assert np.sort(np.abs(rim))[len(rim) // 2] < 1e-9
    a, b, c = (mesh.vertices[mesh.faces[:, k]] - np.array(solid.position) for k in range(3))
    enclosed = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)
    assert enclosed == pytest.approx(volume, rel=tolerance)


def test_bodies_of_several_primitives_keep_each_one_s_faces() -> None:
    from knuckle_ros.page.primitive_mesh import mesh_of

    whole, parts = mesh_of([s for s, _, _ in SOLIDS]), [mesh_of([s]) for s, _, _ in SOLIDS]
    assert len(whole.faces) == sum(len(p.faces) for p in parts)
    assert whole.faces.max() == len(whole.vertices) - 1


def test_words_from_the_bus_cannot_become_markup() -> None:
    from knuckle_ros.page import panel_text
    from knuckle_ros.page.heard import Health, Safety

    evil = '<img src=x onerror="alert(1)">'
    pages = [
        panel_text.safety_card(Safety("HOLD", evil, evil), evil, None),
        panel_text.safety_card(Safety(evil), "", 1.0),
        panel_text.health_table({evil: Health(0, evil, 0.0)}, 0.0),
        panel_text.angle_line(1.0, evil, True),
        panel_text.stream_card(None, False, None, evil),
    ]
    assert not any("<img" in page for page in pages)


def test_what_is_missing_is_said_in_words() -> None:
    from knuckle_ros.page import panel_text

    assert "no driver has said its state" in panel_text.safety_card(None, "", None)
    assert "no depth image has come" in panel_text.cloud_line(None, False)
    assert "waiting for joint states" in panel_text.cloud_line(None, True)
    assert "no object pose has come" in panel_text.angle_line(None, "hammer", False)
    assert "no goal now" in panel_text.angle_line(None, "hammer", True)
    assert "no estimate has come" in panel_text.stream_card(None, False, None, "")
    assert "no node has reported" in panel_text.health_table({}, 0.0)


def test_what_streams_is_said() -> None:
    from knuckle_ros.page.panel_text import stream_source

    assert "palm's simulated IMU" in stream_source({"imu"}, "")
    assert "trial_12.mat" in stream_source({"player"}, "trial_12.mat")
    assert "Nothing streams" in stream_source(set(), "")
    assert "glove" in stream_source({"glove"}, "")


def test_a_node_that_falls_silent_is_shown_as_silent() -> None:
    from knuckle_ros.page import palette, panel_text
    from knuckle_ros.page.heard import Health

    nodes = {"hand": Health(0, "following", 10.0, 100.0)}
    assert "following" in panel_text.health_table(nodes, 11.0)
    late = panel_text.health_table(nodes, 17.0)
    assert "silent for 7 s" in late
    assert palette.STALE in late
    assert palette.OK not in late


def test_roll_pitch_and_yaw_are_those_of_the_orientation() -> None:
    from knuckle_ros.page.panel_text import stream_card

    q = rotations.multiply(rotations.exp([0, 0, math.radians(40)]), rotations.exp([math.radians(-25), 0, 0]))
    card = stream_card(q, True, 1.5, "from here")
    assert "roll <b>-25.0°</b> pitch <b>0.0°</b> yaw <b>40.0°</b> ± 1.5°" in card.replace("-0.0°", "0.0°")


def test_the_real_time_factor_is_the_clock_s_pace_over_the_last_seconds() -> None:
    from knuckle_ros.page.heard import Pace

    pace = Pace(window_s=2.0)
    assert pace.factor(0.0) is None
    for k in range(100):
        pace.note(0.1 * k, int(1e9 * (0.1 * k if k < 50 else 5.0 + 0.03 * (k - 50))))
    assert pace.factor(9.9) == pytest.approx(0.3, rel=1e-6)
    assert pace.factor(12.5) is None
    pace.note(13.0, 0)  # the clock went back: a new one
    assert pace.factor(13.0) is None


def test_the_angle_s_curve_ends_now_and_has_a_gap_where_there_is_no_goal() -> None:
    from knuckle_ros.page.heard import AngleHistory

    history, goal = AngleHistory(span_s=5.0, spacing_s=0.1), rotations.IDENTITY
    for k in range(100):
        q = rotations.exp([0.0, 0.0, math.radians(30.0)])
        angle = history.note(k * 100_000_000, q, None if 60 <= k < 70 else goal)
        assert (angle is None) == (60 <= k < 70)
    seconds, degrees = history.curve()
    assert seconds[-1] == 0.0
    assert seconds[0] == pytest.approx(-5.0, abs=0.11)
    assert np.isnan(degrees).sum() == 10
    assert np.allclose(degrees[~np.isnan(degrees)], 30.0)


def test_a_port_in_use_is_refused_by_its_number() -> None:
    from knuckle_ros.page.page_server import open_server

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DeviceError, match=f"page.port: port {port} is in use") as caught:
            open_server(port, where="page.port")
    assert "\n" not in str(caught.value)
