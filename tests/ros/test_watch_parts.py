"""What the watch is made of on the bus: messages, what is drawn of them, and the words that go with it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.core.config import validate
from knuckle.motion.forecaster import Forecaster
from knuckle.perception.thing_tracker import ThingTracker, TrackedThings
from knuckle.perception.things import Things

pytestmark = pytest.mark.ros


def tracked(x: float = 0.5) -> TrackedThings:
    tracker = ThingTracker(1.0 / 12.0)
    for k in range(4):
        centre = np.array([[x - 0.03 * k, 0.1, 0.1]])
        told = tracker.push(Things(k * 83_000_000, "world", centre, np.full((1, 3), 0.08), np.array([0.8]), ("cup",)))
    assert told is not None
    return told


def test_detections_tracks_and_forecasts_go_over_the_wire_and_back() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    from knuckle_ros import thing_messages as wire

    seen = Things(
        5_000_000_123, "world", np.array([[0.1, -0.2, 0.3]]), np.array([[0.01, 0.02, 0.03]]), np.array([0.7]), ("cup",)
    )
    sent = wire.detections_msg(seen)
    back = wire.detections_of(deserialize_message(serialize_message(sent), type(sent)))
    assert (back.stamp_ns, back.frame, back.labels) == (seen.stamp_ns, "world", ("cup",))
    assert np.array_equal(back.centres, seen.centres)
    assert np.array_equal(back.sizes, seen.sizes)
    assert sent.detections[0].pose.covariance[0] == -1.0
    assert (
        len(wire.detections_of(wire.detections_msg(Things(0, "world", *[np.zeros((0, 3))] * 2, np.zeros(0), ())))) == 0
    )

    told = tracked()
    message = wire.tracks_msg(told)
    assert message.tracks[0].twist.twist.linear.x == pytest.approx(-0.36, abs=0.1)
    assert message.tracks[0].pose.covariance[35] == -1.0
    forecast = Forecaster().forecast(np.array([[[0.5, 0.1, 0.1], [0.47, 0.1, 0.1], [0.44, 0.1, 0.1]]]), 0.083)
    ahead = wire.forecasts_msg(told.stamp_ns, "world", [1], ["cup"], forecast)
    times, weight, mean, covariance = wire.forecast_of(ahead.forecasts[0])
    ordered = forecast.by_probability()
    assert np.allclose(times, forecast.times_s)
    assert np.array_equal(weight, ordered.probability[0])
    assert np.array_equal(mean, ordered.mean[0])
    assert np.array_equal(covariance, ordered.covariance[0])


def test_a_forecast_of_ragged_or_no_modes_is_cut_and_no_error() -> None:
    from knuckle_msgs.msg import Forecast, ForecastMode, ForecastStep

    from knuckle_ros.thing_messages import forecast_of

    assert [a.size for a in forecast_of(Forecast())] == [0, 0, 0, 0]
    assert forecast_of(Forecast(modes=[ForecastMode(probability=1.0)]))[2].size == 0
    long, short = (ForecastMode(probability=0.5, steps=[ForecastStep()] * n) for n in (3, 2))
    assert forecast_of(Forecast(modes=[short, long]))[2].shape == (2, 2, 3)
    assert forecast_of(Forecast(modes=[long, short]))[2].shape == (1, 3, 3)


def test_what_is_drawn_is_the_thing_and_where_its_likeliest_mode_leads() -> None:
    pytest.importorskip("viser")
    from knuckle_ros.page.watch_marks import ELLIPSOIDS, MOST_THINGS, marks
    from knuckle_ros.thing_messages import forecasts_msg, tracks_msg

    told = tracked()
    message = tracks_msg(told)
    forecast = Forecaster().forecast(np.array([[[0.5, 0.1, 0.1], [0.47, 0.1, 0.1], [0.44, 0.1, 0.1]]]), 0.083)
    (mark,) = marks(message, forecasts_msg(told.stamp_ns, "world", [1], ["cup"], forecast), 1.0)
    assert mark.name == "cup 1"
    assert np.allclose(mark.centre, told.centres[0])
    assert len(mark.ahead) == ELLIPSOIDS
    likeliest = forecast.by_probability()
    assert np.allclose(mark.ahead[-1].mean, likeliest.mean[0, 0, -1])
    for seen in mark.ahead:
        k = int(np.argmin(np.linalg.norm(likeliest.mean[0, 0] - seen.mean, axis=1)))
        turn = rotations.to_matrix(seen.quaternion)
        assert np.allclose(turn @ np.diag(seen.axes**2) @ turn.T, likeliest.covariance[0, 0, k], atol=1e-9)
    assert marks(None, None) == []
    assert marks(message, None)[0].ahead == []
    message.tracks = message.tracks * (MOST_THINGS + 3)
    assert len(marks(message, None)) == MOST_THINGS
    message.tracks[0].pose.pose.position.x = float("nan")
    assert marks(message, None) == []
    message.header.frame_id = "moon"
    assert marks(message, None) == []


def test_a_forecast_is_drawn_only_as_far_as_it_is_known_better_than_the_zone_is_large() -> None:
    pytest.importorskip("viser")
    from knuckle_ros.page.watch_marks import ELLIPSOIDS, UNKNOWN, marks
    from knuckle_ros.thing_messages import forecasts_msg, tracks_msg

    told = tracked()
    tracks = tracks_msg(told)
    new = Forecaster().forecast(np.array([[[0.5, 0.1, 0.1]]]), 0.083)
    (mark,) = marks(tracks, forecasts_msg(told.stamp_ns, "world", [1], ["cup"], new), 0.02)
    assert mark.ahead == []
    assert mark.name == f"cup 1: {UNKNOWN}"
    known = Forecaster().forecast(np.array([[[0.5, 0.1, 0.1], [0.47, 0.1, 0.1], [0.44, 0.1, 0.1]]]), 0.083)
    ahead = forecasts_msg(told.stamp_ns, "world", [1], ["cup"], known)
    (every,) = marks(tracks, ahead, 5.0)
    largest = sorted(seen.axes.max() for seen in every.ahead)
    (some,) = marks(tracks, ahead, float(largest[2]))
    assert len(every.ahead) == ELLIPSOIDS
    assert [seen.axes.max() for seen in some.ahead] == largest[:3]
    assert some.name == "cup 1"


def test_the_page_says_why_the_hand_holds_and_escapes_it() -> None:
    pytest.importorskip("viser")
    from knuckle_ros.page import panel_text
    from knuckle_ros.page.heard import Safety

    held = Safety("HOLD", reason="hold asked by 'the watch of the zone'")
    said = panel_text.watch_words("stranger 3 will be in the zone in 0.4 s (probability 0.62)", None, 0.0)
    card = panel_text.safety_card(held, "idle", 1.0, said)
    assert "stranger 3 will be in the zone in 0.4 s" in card
    assert "the watch of the zone" in card
    assert "zone" not in panel_text.safety_card(Safety("HOLD"), "idle", 1.0)
    evil = panel_text.watch_words("<img src=x>", None, 0.0)
    assert "<img" not in panel_text.safety_card(held, "idle", 1.0, evil)


def test_the_page_calls_a_zone_free_only_while_its_watch_says_that_it_sees() -> None:
    pytest.importorskip("viser")
    from knuckle_ros.page.heard import Zone
    from knuckle_ros.page.panel_text import watch_line, watch_words

    sees = Zone(sees=True, off=False, reason="", heard_s=10.0)
    assert watch_words(None, None, 10.0) is None
    assert watch_words("", None, 10.0) is None
    assert "is free" in watch_line(watch_words("", sees, 11.0))
    assert "silent" in watch_line(watch_words("", sees, 20.0))
    off = Zone(sees=False, off=True, reason="switched off", heard_s=10.0)
    assert "nobody watches the zone: switched off" in watch_line(watch_words("", off, 500.0))


S = 1_000_000_000


def test_the_driver_holds_where_a_watch_that_has_begun_stops_and_never_for_one_that_is_off() -> None:
    from knuckle_msgs.msg import ZoneState

    from knuckle_ros.wire import header_msg
    from knuckle_ros.zone_deadline import START_S, ZoneDeadline

    def said(state: int, stamp_ns: int = 0) -> ZoneState:
        return ZoneState(header=header_msg(stamp_ns, "world"), state=state)

    zone = ZoneDeadline(1.5)
    assert not zone.unwatched(100 * S)
    zone.heard(said(ZoneState.STARTING), 100 * S)
    # Nobody may begin before the watch has seen something; who has begun is given a little while.
    assert "nothing yet" in zone.unwatched(101 * S)
    assert not zone.broken(101 * S)
    assert "nothing yet" in zone.broken((101 + round(START_S)) * S)
    zone.heard(said(ZoneState.WATCHING, 110 * S), 110 * S)
    assert not zone.unwatched(111 * S)
    assert not zone.broken(111 * S)
    assert "1.5 s" in zone.broken(112 * S)
    # What is said of a frame judged long ago, or of one that has not been taken yet, is no sign of life.
    zone.heard(said(ZoneState.WATCHING, 110 * S), 112 * S)
    zone.heard(said(ZoneState.WATCHING, 300 * S), 112 * S)
    zone.heard(said(ZoneState.BLIND, 112 * S), 112 * S)
    assert zone.broken(112 * S)
    # A watch that was started again has to see before it is believed.
    zone.heard(said(ZoneState.STARTING), 113 * S)
    assert zone.broken(113 * S)
    zone.heard(said(ZoneState.WATCHING, 114 * S), 114 * S)
    assert not zone.broken(115 * S)
    zone.heard(said(ZoneState.OFF, 114 * S), 115 * S)
    assert not zone.broken(900 * S)
    assert not zone.unwatched(900 * S)
    never = ZoneDeadline(0.0)
    never.heard(said(ZoneState.STARTING), 0)
    assert not never.broken(900 * S)
    assert not never.unwatched(900 * S)


def test_the_first_frame_sets_the_frame_of_reference_where_none_is_set() -> None:
    from knuckle_ros.frame_judge import FrameJudge

    said: list[str] = []
    ears = SimpleNamespace(
        dropped=lambda n: said.append(str(n)),
        value=lambda k, v: None,
        level=lambda level, line: said.append(line),
        publish=lambda: None,
    )
    judge = FrameJudge("detections")
    assert not judge.right_frame("")
    assert judge.right_frame("world")
    assert not judge.right_frame("moon")
    assert judge.right_frame("world")
    judge.report(ears)  # type: ignore[arg-type]
    assert said == ["2", "detections: 2 dropped: frame '', not 'a name'; frame 'moon', not 'world'"]
    judge.went_well("fine")
    judge.report(ears)  # type: ignore[arg-type]
    assert said[-1] == "fine"


@pytest.mark.parametrize("model", ["", "cv", "bytetrack", "ridge"])
def test_the_track_node_s_models_are_those_that_ship(model: str) -> None:
    from knuckle_ros.track_node import Config, make_tracker

    config = validate(Config(model=model, in_image=bool(model), rate_hz=25.0), where="tracks")
    tracker = make_tracker(config)
    size = np.array([[40.0, 80.0, 0.0]]) if model else np.full((1, 3), 0.1)
    for k in range(6):
        told = tracker.push(
            Things(k * 40_000_000, "f", np.array([[0.5 + 0.01 * k, 0.3, 0.1]]), size, np.array([0.95]), ("1",))
        )
    assert told is not None
    assert told.ids.tolist() == [1]
