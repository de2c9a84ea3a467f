"""Rows that a model reads and the states that it knows as messages, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistWithCovarianceStamped
from knuckle_msgs.msg import NamedValues, Tactile
from numpy.typing import NDArray

from knuckle.core.errors import InputError
from knuckle.sensors.hiss.state_estimate import StateEstimate
from knuckle_ros.wire import header_msg

Array = NDArray[np.float64]
VELOCITIES = ("velocity_x", "velocity_y", "velocity_z")
_ABSENT = -1.0  # in the covariance's diagonal: this is not carried; in its first element: do not act upon it
_UT_PER_T = 1e6


def is_velocity(targets: Sequence[str]) -> bool:
    """Whether targets go into a TwistWithCovarianceStamped: velocities along x, y, z, or the first of them."""
    return tuple(targets) == VELOCITIES[: len(targets)] and len(targets) > 0


def message_type(targets: Sequence[str]) -> Any:
    """The type of the estimates of ``targets``."""
    return TwistWithCovarianceStamped if is_velocity(targets) else NamedValues


def state_message(
    stamp_ns: int, frame: str, targets: Sequence[str], mean: Array, covariance: Array, *, valid: bool
) -> Any:
    """``mean`` (T,) and ``covariance`` (T, T) of ``targets`` at ``stamp_ns``; not ``valid``: not to be acted upon."""
    if not is_velocity(targets):
        flat = covariance.ravel().tolist() if valid else []
        return NamedValues(
            header=header_msg(stamp_ns, frame), names=list(targets), values=mean.tolist(), covariance=flat
        )
    message = TwistWithCovarianceStamped(header=header_msg(stamp_ns, frame))
    t = len(targets)
    for axis, value in zip("xyz", mean.tolist(), strict=False):
        setattr(message.twist.twist.linear, axis, value)
    whole = np.diag([0.0] * t + [_ABSENT] * (6 - t))
    whole[:t, :t] = covariance
    if not valid:
        whole[0, 0] = _ABSENT
    message.twist.covariance = whole.ravel()
    return message


def estimate_message(estimate: StateEstimate, frame: str, targets: Sequence[str]) -> Any:
    """An estimate of ``targets``."""
    return state_message(estimate.stamp_ns, frame, targets, estimate.mean, estimate.covariance, valid=estimate.valid)


def state_of(message: Any, targets: int) -> tuple[Array, Array, bool]:
    """Mean (T,), covariance (T, T) and whether it may be acted upon; the covariance is NaN where it may not."""
    if isinstance(message, TwistWithCovarianceStamped):
        linear = message.twist.twist.linear
        whole = np.asarray(message.twist.covariance, dtype=np.float64).reshape(6, 6)[:targets, :targets]
        valid = bool(whole[0, 0] != _ABSENT)
        return np.array([linear.x, linear.y, linear.z])[:targets], whole if valid else whole * np.nan, valid
    mean = np.array(message.values, dtype=np.float64)
    if not len(message.covariance):
        return mean, np.full((targets, targets), np.nan), False
    return mean, np.array(message.covariance, dtype=np.float64).reshape(targets, targets), True


def values_message(stamp_ns: int, names: Sequence[str], values: Array) -> NamedValues:
    """A row of a table."""
    return NamedValues(header=header_msg(stamp_ns, ""), names=list(names), values=values.tolist())


def tactile_message(stamp_ns: int, frame: str, microtesla: Array) -> Tactile:
    """The fields (3 n,) of n magnetometers, as `Tactile` has them, in tesla."""
    return Tactile(
        header=header_msg(stamp_ns, frame),
        taxels=len(microtesla) // 3,
        axes=3,
        unit="T",
        data=(microtesla / _UT_PER_T).astype(np.float32),
    )


def row_of(message: Any, names: Sequence[str], *, where: str) -> Array:
    """The values of ``names`` (D,) in a message; InputError where one is missing or the message is of another form."""
    if isinstance(message, Tactile):
        if len(message.data) != len(names) or message.unit != "T":
            what = f"{len(message.data)} values in '{message.unit}'"
            raise InputError(what, where=where, right=f"{len(names)} values in T")
        return np.asarray(message.data, dtype=np.float64) * _UT_PER_T
    place = {name: k for k, name in enumerate(message.names)}
    missing = [name for name in names if name not in place]
    if missing or len(message.names) != len(message.values):
        what = f"no value of {', '.join(missing[:3])}" if missing else "names and values differ in number"
        raise InputError(what, where=where, right=f"a value for each of {', '.join(names)}")
    return np.array([message.values[place[name]] for name in names], dtype=np.float64)
