"""Detections, tracks and forecasts on the wire: arrays to messages and back. Values are looked at by whoever uses them.

In a frame of an image positions and extents are px, x to the right and y down, with z and depth 0; else metres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from geometry_msgs.msg import Point, PoseWithCovariance, Vector3
from knuckle_msgs.msg import Detection, Detections, Forecast, ForecastMode, Forecasts, ForecastStep, Track, Tracks

from knuckle.hardware.spec.hand_spec import Array
from knuckle.motion.forecast_mixture import ForecastMixture
from knuckle.perception.thing_tracker import TrackedThings
from knuckle.perception.things import Things
from knuckle_ros.wire import duration_msg, header_msg, stamp_ns

UNKNOWN = -1.0


def detections_msg(seen: Things) -> Detections:
    """What was seen in one frame; the covariance of the centres is not known."""
    message = Detections(header=header_msg(seen.stamp_ns, seen.frame))
    for k, label in enumerate(seen.labels):
        one = Detection(label=label, score=float(seen.scores[k]), size=_vector(seen.sizes[k]))
        _place(one.pose, seen.centres[k], None)
        message.detections.append(one)
    return message


def detections_of(message: Detections) -> Things:
    """The arrays of a message, as they are."""
    given = message.detections
    return Things(
        stamp_ns(message.header.stamp),
        message.header.frame_id,
        np.array([_point(one.pose.pose.position) for one in given]).reshape(-1, 3),
        np.array([_point(one.size) for one in given]).reshape(-1, 3),
        np.array([one.score for one in given], dtype=np.float64),
        tuple(one.label for one in given),
    )


def tracks_msg(told: TrackedThings) -> Tracks:
    """The tracks at one time."""
    message = Tracks(header=header_msg(told.stamp_ns, told.frame))
    for k, label in enumerate(told.labels):
        track = Track(id=int(told.ids[k]), label=label, score=float(told.scores[k]), confirmed=True)
        track.coasted, track.size = float(told.coasted_s[k]), _vector(told.sizes[k])
        _place(track.pose, told.centres[k], told.centre_variance[k] * np.eye(3))
        track.twist.twist.linear = _vector(told.velocities[k])
        track.twist.covariance = _covariance(told.velocity_variance[k] * np.eye(3))
        message.tracks.append(track)
    return message


def forecasts_msg(
    stamp: int, frame: str, ids: Sequence[int], labels: Sequence[str], forecast: ForecastMixture
) -> Forecasts:
    """The forecasts of tracks ``ids`` from ``stamp`` on, the most probable mode first."""
    message = Forecasts(header=header_msg(stamp, frame))
    sorted_ = forecast.by_probability()
    after = [duration_msg(round(1e9 * t)) for t in forecast.times_s.tolist()]
    for n, (track, label) in enumerate(zip(ids, labels, strict=True)):
        one = Forecast(track_id=track, label=label)
        for k in range(sorted_.probability.shape[1]):
            mode = ForecastMode(probability=float(sorted_.probability[n, k]))
            for s, time_from_start in enumerate(after):
                step = ForecastStep(time_from_start=time_from_start)
                _place(step.pose, sorted_.mean[n, k, s], sorted_.covariance[n, k, s])
                mode.steps.append(step)
            one.modes.append(mode)
        message.forecasts.append(one)
    return message


def forecast_of(one: Forecast) -> tuple[Array, Array, Array, Array]:
    """Times (S,) in s, weights (K,), means (K, S, 3) and covariances (K, S, 3, 3); empty where there is no mode.

    Modes of other lengths than the first are cut or left out.
    """
    steps = len(one.modes[0].steps) if one.modes else 0
    modes = [mode for mode in one.modes if len(mode.steps) >= steps > 0]
    times = [stamp_ns(step.time_from_start) * 1e-9 for step in one.modes[0].steps] if modes else []
    rows = [[step.pose for step in mode.steps[:steps]] for mode in modes]
    mean = np.array([[_point(pose.pose.position) for pose in row] for row in rows]).reshape(len(modes), steps, 3)
    covariance = np.array([[pose.covariance for pose in row] for row in rows]).reshape(len(modes), steps, 6, 6)
    weight = np.array([mode.probability for mode in modes], dtype=np.float64)
    return np.array(times, dtype=np.float64), weight, mean, covariance[..., :3, :3]


def _place(pose: PoseWithCovariance, centre: Array, covariance: Array | None) -> None:
    """Fill a PoseWithCovariance: no orientation is told, and what is not known is -1 on the diagonal."""
    place = pose.pose.position
    place.x, place.y, place.z = np.asarray(centre, dtype=np.float64).tolist()
    pose.covariance = _covariance(covariance)


def _covariance(block: Array | None) -> Array:
    out = np.zeros((6, 6))
    out[range(3, 6), range(3, 6)] = UNKNOWN
    if block is None:
        out[0, 0] = UNKNOWN
    else:
        out[:3, :3] = block
    return out.reshape(-1)


def _vector(values: Array) -> Vector3:
    x, y, z = np.asarray(values, dtype=np.float64).tolist()
    return Vector3(x=x, y=y, z=z)


def _point(place: Point | Vector3) -> tuple[float, float, float]:
    return place.x, place.y, place.z
