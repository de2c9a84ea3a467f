"""The limiter: what a command asks for becomes what a servo may be told, or is refused.

A target t that is sent lies, joint by joint, in the envelope

    [lower, upper]  and  [m - S, m + S],   m = clip(measured, lower, upper)
    S = step_scale * policy_speed / control_rate + velocity_limit * (age of the command against the measured posture)

which is never empty. Inside it t moves from the last sent target p with a speed v between the stamps of the two
commands that is bounded by

    |v| <= V = slew_scale * F,   F = 2 * policy_speed + velocity_limit
    v between min(0, u - G dt) and max(0, u + G dt),   G = gain_scale * 2 F * control_rate

where u is the speed at which p was reached: speed is gained slowly and lost at once, as standing still is safe. Where p
itself lies outside the envelope (the joint was pushed away from its target) the way counts from the envelope's nearest
point: towards the measured posture is the safe direction. Stamps must grow, so a flood of commands gains no speed: the
allowances add up to the time that passed. The first command of a lease is bounded by the envelope alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from knuckle.core.errors import CommandRefused
from knuckle.hardware.safety.config import Config, checked
from knuckle.hardware.safety.quote import quote_all
from knuckle.hardware.spec.contracts import HandCommand, HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec

WHERE = "joint_commands"


class NotFinite(CommandRefused):
    """A target is NaN or infinite. The sender cannot be trusted further: the driver goes to HOLD."""


@dataclass(frozen=True)
class CommandTimes:
    """When a command was decided on, when it becomes void, and what time it is now: ns of the hand's clock."""

    stamp_ns: int
    valid_until_ns: int
    now_ns: int


@dataclass(frozen=True)
class Sent:
    """The last target that was sent, and the speed at which it was reached, rad/s, (dof,)."""

    command: HandCommand
    speed: Array


@dataclass(frozen=True)
class Limited:
    """A command that may be sent, the speed it asks for, and how many of its joints each bound changed."""

    command: HandCommand
    speed: Array
    position: int
    velocity: int
    acceleration: int
    step: int

    @property
    def altered(self) -> bool:
        """True where any joint was changed."""
        return self.position + self.velocity + self.acceleration + self.step > 0


class Limiter:
    """Bounds for one hand. Holds no state: the measured posture and the last sent command are arguments."""

    def __init__(self, spec: HandSpec, config: Config) -> None:
        self.spec = spec
        self.config = checked(config)
        self.step_rad = config.step_scale * spec.policy_speed / spec.control_rate_hz
        """Farthest a target may lie from the posture its command answers, rad."""
        fastest = 2.0 * spec.policy_speed + spec.velocity_limit
        self.slew_rad_s: Array = config.slew_scale * fastest
        """Fastest a target may move between two sent commands, rad/s, (dof,)."""
        self.gain_rad_s2: Array = config.gain_scale * 2.0 * fastest * spec.control_rate_hz
        """Fastest it may gain speed, rad/s^2, (dof,)."""

    def limit(
        self, names: Sequence[str], q: ArrayLike, times: CommandTimes, measured: HandState, last: Sent | None
    ) -> Limited:
        """The command to send for targets ``q`` (rad) of the joints ``names``, in the spec's order.

        ``measured`` is the newest good state of the hand and ``last`` what was sent before under the same lease.
        Raises CommandRefused (age, order, names, shape) or NotFinite.
        """
        valid_until_ns = self._check_times(times, last)
        wanted = self._in_spec_order(names, q)
        bad = [name for name, value in zip(self.spec.joint_names, wanted, strict=True) if not np.isfinite(value)]
        if bad:
            raise NotFinite(
                f"target is NaN or infinite for {quote_all(bad)}", where=WHERE, right="finite angles in rad"
            )
        if not np.isfinite(measured.q).all():
            raise CommandRefused("the measured posture is not finite", where=WHERE, right="a good joint state")
        inside = np.clip(wanted, self.spec.lower, self.spec.upper)
        low, high = self.envelope(measured, times.stamp_ns)
        start = np.clip(measured.q, low, high) if last is None else np.clip(last.command.q, low, high)
        dt = 1.0 / self.spec.control_rate_hz if last is None else (times.stamp_ns - last.command.stamp_ns) * 1e-9
        slewed = eased = inside
        if last is not None:
            gain = self.gain_rad_s2 * dt
            slowest, fastest = np.minimum(0.0, last.speed - gain), np.maximum(0.0, last.speed + gain)
            slewed = np.clip(inside, start - self.slew_rad_s * dt, start + self.slew_rad_s * dt)
            eased = np.clip(slewed, start + slowest * dt, start + fastest * dt)
        sent = np.clip(eased, low, high)
        return Limited(
            command=HandCommand(times.stamp_ns, valid_until_ns, sent),
            speed=(sent - start) / dt,
            position=int(np.count_nonzero(inside != wanted)),
            velocity=int(np.count_nonzero(slewed != inside)),
            acceleration=int(np.count_nonzero(eased != slewed)),
            step=int(np.count_nonzero(sent != eased)),
        )

    def envelope(self, measured: HandState, stamp_ns: int) -> tuple[Array, Array]:
        """Lowest and highest target, rad, (dof,), for a command stamped ``stamp_ns`` on the posture ``measured``.

        A command answers the posture at its stamp; the joint may have moved at its velocity limit since.
        """
        centre = np.clip(measured.q, self.spec.lower, self.spec.upper)
        age_s = max(0, measured.stamp_ns - stamp_ns) * 1e-9
        step = self.step_rad + self.spec.velocity_limit * age_s
        return np.maximum(self.spec.lower, centre - step), np.minimum(self.spec.upper, centre + step)

    def _check_times(self, times: CommandTimes, last: Sent | None) -> int:
        """The end of validity, capped, or CommandRefused."""
        age_s = (times.now_ns - times.stamp_ns) * 1e-9
        if age_s > self.config.max_age_s:
            raise CommandRefused(
                f"it answers a joint state {age_s * 1e3:.0f} ms old",
                where=WHERE,
                right=f"at most {self.config.max_age_s * 1e3:.0f} ms",
            )
        if -age_s > self.config.max_future_s:
            raise CommandRefused(
                f"its stamp is {-age_s * 1e3:.0f} ms in the future",
                where=WHERE,
                right="the stamp of the joint state it answers",
            )
        if times.valid_until_ns < max(times.now_ns, times.stamp_ns):
            late_ms = (times.now_ns - times.valid_until_ns) * 1e-6
            raise CommandRefused(
                f"its validity ended {late_ms:.0f} ms ago", where=WHERE, right="a time_from_start that covers the way"
            )
        if last is not None and times.stamp_ns <= last.command.stamp_ns:
            raise CommandRefused(
                "a command with this stamp or a later one was already sent", where=WHERE, right="stamps that grow"
            )
        return min(times.valid_until_ns, times.stamp_ns + round(self.config.max_validity_s * 1e9))

    def _in_spec_order(self, names: Sequence[str], q: ArrayLike) -> Array:
        """``q`` in the spec's joint order, mapped by name."""
        known = self.spec.joint_names
        counts = Counter(names)
        faults = {
            "unknown": [name for name in counts if name not in known],
            "missing": [name for name in known if name not in counts],
            "doubled": [name for name, count in counts.items() if count > 1],
        }
        listed = "; ".join(f"{kind}: {quote_all(which)}" for kind, which in faults.items() if which)
        if listed:
            raise CommandRefused(
                f"joint names do not match hand {self.spec.name}: {listed}",
                where=WHERE,
                right=f"each once, in any order: {quote_all(known)}",
            )
        try:
            values = np.asarray(q, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise CommandRefused("targets are not numbers", where=WHERE, right="angles in rad") from error
        if values.shape != (len(known),):
            raise CommandRefused(
                f"targets have shape {values.shape}", where=WHERE, right=f"one angle for each of {len(known)} joints"
            )
        place = {name: i for i, name in enumerate(names)}
        return values[[place[name] for name in known]]
