"""Playing a motion on a hand, and what was commanded and measured meanwhile. The hand is a guarded one: limiter, lease
and latch stand between the motion and the servos, and what is recorded as commanded is what they let through.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import InputError, RunError
from knuckle.hardware.identification.clearance import Finger
from knuckle.hardware.identification.motions import Motion
from knuckle.hardware.safety.guarded_hand import GuardedHand
from knuckle.hardware.safety.states import State
from knuckle.hardware.spec.contracts import HandState
from knuckle.hardware.spec.hand_spec import Array, HandSpec

COMMANDER = "knuckle calibrate sysid"
VALID_NS = 100_000_000
MAX_BYTES = 64 << 20
LARGEST_STEP = 1.3
"""How far a target may lie from the posture while servos are identified, rad: the largest step that motions take."""
_ARRAYS = ("stamp_ns", "sent_ns", "target", "q", "dq")


@dataclass(frozen=True)
class FingerRecord:
    """What the joints of one finger did: rows (T, ...) in time order, columns its joints from the palm outwards.

    ``q`` rad and ``dq`` rad/s were measured at ``stamp_ns``, ``target`` rad was sent at ``sent_ns``: what was really
    sent. ``rate_hz`` is that of the motion.
    """

    hand: str
    finger: int
    rate_hz: float
    stamp_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    target: Array
    q: Array
    dq: Array

    def on_grid(self, substeps: int) -> tuple[Array, Array]:
        """Targets (T substeps, K), each held until the next was sent, and angles (T, K), at even times."""
        t = (self.stamp_ns - self.stamp_ns[0]) * 1e-9
        sent = (self.sent_ns - self.stamp_ns[0]) * 1e-9
        samples = int(np.floor(t[-1] * self.rate_hz)) + 1
        coarse = np.arange(samples) / self.rate_hz
        fine = np.arange(samples * substeps) / (self.rate_hz * substeps)
        # Half a nanosecond: a time that a target was sent at belongs to it.
        newest = np.maximum(np.searchsorted(sent, fine + 5e-10, side="right") - 1, 0)
        angles = np.stack([np.interp(coarse, t, column) for column in self.q.T], axis=1)
        return self.target[newest], angles

    def save(self, path: Path) -> None:
        """Write it as a plain npz, whole or not at all."""
        buffer = io.BytesIO()
        about = {"hand": np.array(self.hand), "finger": np.array(self.finger), "rate_hz": np.array(self.rate_hz)}
        np.savez_compressed(buffer, allow_pickle=False, **about, **{name: getattr(self, name) for name in _ARRAYS})
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(buffer.getvalue())
            partial.replace(path)
        except OSError as error:
            what = f"the record cannot be written ({error.strerror})"
            raise RunError(what, where=str(path), right="a file in a folder of yours") from error
        finally:
            partial.unlink(missing_ok=True)


def load_record(path: Path) -> FingerRecord:
    """The record in ``path``; InputError in one line where it is none, or not whole."""
    right = "what knuckle calibrate sysid has recorded"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError("it is larger than 64 MiB", where=str(path), right=right)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
            hand, finger, rate_hz = str(stored["hand"]), int(stored["finger"]), float(stored["rate_hz"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"the record cannot be read ({error})", where=str(path), right=right) from error
    record = FingerRecord(hand, finger, rate_hz, **arrays)
    rows = len(record.stamp_ns)
    shaped = all(len(arrays[name]) == rows for name in _ARRAYS) and record.q.shape == record.target.shape
    finite = all(np.isfinite(arrays[name]).all() for name in ("target", "q", "dq")) and 0.0 < rate_hz <= 1000.0
    if rows < 2 or not shaped or not finite or not (np.diff(record.stamp_ns) > 0).all():
        raise InputError("the record is not whole", where=str(path), right=right)
    return record


def record_finger(
    hand: GuardedHand,
    motion: Motion,
    *,
    now_ns: Callable[[], int],
    wait_until: Callable[[int], None],
    approach: float = 0.5,
    said: Callable[[str], None] = lambda line: None,
) -> FingerRecord:
    """Go slowly (``approach`` rad/s) to where ``motion`` begins, play it, and let go: the joints then hold.

    ``now_ns`` is the clock of the hand's stamps and ``wait_until`` lets it pass. Raises CommandRefused or DeviceError
    as the hand does, RunError where it stopped meanwhile; the hand then holds, or is as the safety layer left it.
    """
    player = _Player(hand, motion, now_ns, wait_until)
    wait_until(now_ns() + round(1e9 / motion.rate_hz))
    player.measured()
    lease = hand.arm(COMMANDER)
    try:
        said(f"going to where the motion of {motion.seconds:.0f} s begins")
        for posture in _way(player.measured().q, motion.start, approach / motion.rate_hz):
            player.play(posture, lease)
        said("recording; keep clear")
        rows = [player.play(posture, lease) for posture in motion.targets]
    finally:
        if hand.status().state is State.ARMED:
            hand.hold(COMMANDER)
    finger = Finger(hand.spec, motion.finger).joints
    stamps, sent_at, targets, states = zip(*rows, strict=True)
    kept = np.append(True, np.diff(np.array(stamps)) > 0)
    return FingerRecord(
        motion.hand,
        motion.finger,
        motion.rate_hz,
        np.array(stamps, dtype=np.int64)[kept],
        np.array(sent_at, dtype=np.int64)[kept],
        np.array(targets)[kept][:, finger],
        np.array([state.q for state in states])[kept][:, finger],
        np.array([state.dq for state in states])[kept][:, finger],
    )


class _Player:
    """Cycles at the motion's rate: read, command, wait."""

    def __init__(
        self, hand: GuardedHand, motion: Motion, now_ns: Callable[[], int], wait_until: Callable[[int], None]
    ) -> None:
        self._hand, self._now, self._wait = hand, now_ns, wait_until
        self._names = list(hand.spec.joint_names)
        self._period_ns = round(1e9 / motion.rate_hz)
        self._due_ns = now_ns()
        self._last_ns = -1

    def measured(self) -> HandState:
        """The joints now; RunError where the hand is not to be believed."""
        state = self._hand.tick(self._now())
        if state is None:
            what = self._hand.status().problem or "no joint state"
            raise RunError(what, where="sysid", right="a hand that answers well")
        return state

    def play(self, posture: Array, lease: str) -> tuple[int, int, Array, HandState]:
        """One cycle; the state's stamp, when the target was sent, what was sent, and the state.

        A command answers a state that no other answered: where the servo loop has none yet, it is waited for.
        """
        state = self.measured()
        while state.stamp_ns <= self._last_ns:
            self._wait(self._now() + self._period_ns // 4)
            state = self.measured()
        now, self._last_ns = self._now(), state.stamp_ns
        sent = self._hand.command(self._names, posture, state.stamp_ns, state.stamp_ns + VALID_NS, lease, now)
        self._due_ns = max(self._due_ns + self._period_ns, now)
        self._wait(self._due_ns)
        return state.stamp_ns, now, sent.q, state


def _way(start: Array, end: Array, step: float) -> Array:
    """Postures (n, dof) from ``start`` to ``end``, no joint faster than ``step`` rad a posture."""
    n = max(1, int(np.ceil(np.abs(end - start).max() / step)))
    share = np.arange(1, n + 1)[:, None] / n
    return np.asarray((1.0 - share) * start + share * end)


def hand_for_motions(hand: HandSpec) -> HandSpec:
    """``hand`` as its driver is opened for identification: with a pace at which the safety layer lets large steps pass.

    The limiter keeps targets within a step of the action map from the posture; at a policy's pace no joint would come
    near its velocity limit. All other limits stay.
    """
    return replace(hand, policy_speed=max(hand.policy_speed, LARGEST_STEP * hand.control_rate_hz))
