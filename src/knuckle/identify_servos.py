"""`knuckle calibrate sysid`: the servos of one finger identified. Driver, simulator and plot meet here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from knuckle.hardware.dynamixel.dynamixel_hand import DynamixelHand
    from knuckle.hardware.identification.identified import Identified
    from knuckle.hardware.identification.motions import Motion
    from knuckle.hardware.identification.record import FingerRecord
    from knuckle.hardware.spec.hand_spec import HandSpec

WHERE = "knuckle calibrate sysid"


@dataclass(frozen=True)
class SysidConfig:
    """Identify stiffness, damping and velocity limit of one finger's servos from steps and sines that it makes.

    Leaves three files of one name: the result (.json), what was recorded (.npz) and a plot of both (.svg). Port
    "virtual" rehearses it with virtual servos over a simulated hand; --record fits what was recorded before.
    """

    port: str = setting("", "port of the servos' adapter, or virtual; empty for the only one connected")
    hand: str = setting("dclaw3", "which hand it is")
    finger: int = setting(0, "which finger moves, from 0", low=0, high=15)
    record: str = setting("", "a record to fit; nothing moves")
    step: float = setting(1.2, "largest step, where there is room", low=0.05, high=1.2, unit="rad")
    steps: int = setting(4, "pairs of steps, of growing size", low=1, high=20)
    lowest_hz: float = setting(0.05, "slowest sine", low=0.05, high=1.5, unit="Hz")
    calibration: str = setting("", "calibration file; empty for the user's own of this hand")
    baud: int = setting(0, "baud rate of the servos; 0 for that of the hand", low=0, high=4_500_000)
    out: str = setting("", "name of the result; empty for sysid_HAND_fFINGER.json here")
    seed: int = setting(0, "seed of the search", low=0, high=2**31 - 1)
    yes: bool = setting(False, "do not ask")


def calibrate_sysid(argv: list[str]) -> int:
    """Run the command. Raises InputError, DeviceError or CommandRefused in one line; torque is off then."""
    config = parse_arguments(SysidConfig, argv, WHERE)
    from knuckle.core.figures import require_writable
    from knuckle.hardware.identification.identified import identified, save_identified
    from knuckle.hardware.identification.record import load_record
    from knuckle.hardware.identification.servo_fit import FitConfig, fit_servos
    from knuckle.hardware.spec.hands import hand_spec
    from knuckle.identify_plot import write_plot
    from knuckle.sim.finger_model import FingerModel

    spec = hand_spec(config.hand, where="--hand")
    out = Path(config.out or f"sysid_{spec.name}_f{config.finger}.json").with_suffix(".json")
    require_writable(out, what="the result")
    if config.record:
        record = load_record(Path(config.record))
    else:
        record = _recorded(config, spec)
        record.save(out.with_suffix(".npz"))
        print(f"recorded {len(record.q)} samples to {out.with_suffix('.npz')}")
    if record.hand != spec.name:
        raise InputError(f"the record is of hand {record.hand}", where="--record", right=f"--hand {record.hand}")
    print("fitting by CMA-ES: a few minutes of one core")
    fit = fit_servos(spec, record, FingerModel(spec, record.finger), FitConfig(seed=config.seed))
    digest = hashlib.sha256(record.q.tobytes() + record.target.tobytes()).hexdigest()
    found = identified(spec, record.finger, fit, record_sha256=digest, seed=config.seed)
    save_identified(found, out)
    write_plot(out.with_suffix(".svg"), record, fit)
    print("\n".join(table(found, spec)))
    print(f"written: {out}, {out.with_suffix('.svg')}")
    return 0


def table(found: Identified, spec: HandSpec) -> list[str]:
    """What was found as lines, beside the hand's own numbers; a number that the motion does not show says so."""
    from knuckle.hardware.identification.servo_fit import PARAMETERS

    lines = [f"{'joint':14}" + "".join(f"{name:>28}" for name in PARAMETERS)]
    for servo in found.servos:
        joint = spec.joints[spec.joint_names.index(servo.joint)]
        cells = []
        for name in PARAMETERS:
            own = f"(now {getattr(joint, name):.3g})"
            value = f"{getattr(servo, name):.4g}" if servo.known(name) else "not shown"
            cells.append(f"{value} {own}")
        lines.append(f"{servo.joint:14}" + "".join(f"{cell:>28}" for cell in cells))
    worst = max(servo.residual_rad for servo in found.servos)
    lines.append(f"delay {found.delay_s * 1e3:.1f} ms; left unexplained {worst * 1e3:.2f} mrad at most")
    return lines


def _recorded(config: SysidConfig, spec: HandSpec) -> FingerRecord:
    """The motion, planned, agreed on, played and recorded."""
    from knuckle.hardware.calibrate_commands import VIRTUAL, agree
    from knuckle.hardware.identification.motions import MotionConfig, plan_motion
    from knuckle.hardware.identification.record import record_finger
    from knuckle.hardware.safety.guarded_hand import GuardedHand
    from knuckle.hardware.safety.latch import StopLatch

    motion = plan_motion(
        spec, config.finger, MotionConfig(step=config.step, steps=config.steps, lowest_hz=config.lowest_hz)
    )
    agree(_plan(motion, spec), yes=config.yes or config.port == VIRTUAL)
    with opened(config.port, spec, config.calibration, config.baud) as (raw, now_ns, wait_until):
        guarded = GuardedHand(raw, StopLatch(_latch_file(spec.name)), mint=lambda: os.urandom(8).hex())
        try:
            return record_finger(guarded, motion, now_ns=now_ns, wait_until=wait_until, said=print)
        finally:
            guarded.release(WHERE)


@contextlib.contextmanager
def opened(
    port: str, spec: HandSpec, calibration: str = "", baud: int = 0
) -> Iterator[tuple[DynamixelHand, Callable[[], int], Callable[[int], None]]]:
    """The raw hand at ``port``, its clock, and what lets its time pass. It is closed, torque off, at the end."""
    from knuckle.hardware.calibrate_commands import VIRTUAL, servo_port
    from knuckle.hardware.dynamixel.open_hand import open_hand
    from knuckle.hardware.identification.record import hand_for_motions

    if port == VIRTUAL:
        with rehearsed(spec) as hand:
            yield hand
        return
    with servo_port(port, spec.name) as path:
        raw = open_hand(hand_for_motions(spec), path, calibration=Path(calibration) if calibration else None, baud=baud)
        try:
            yield raw, time.monotonic_ns, _sleep_until
        finally:
            raw.close()


@contextlib.contextmanager
def rehearsed(
    spec: HandSpec, true: HandSpec | None = None
) -> Iterator[tuple[DynamixelHand, Callable[[], int], Callable[[int], None]]]:
    """As `opened`: the real driver over virtual servos, which turn a simulated hand (``true``, ``spec`` if None)."""
    from knuckle.hardware.identification.record import hand_for_motions
    from knuckle.rehearsal import START_NS, rehearsed_hand
    from knuckle.sim.free_hand import FreeHand

    with rehearsed_hand(hand_for_motions(spec), FreeHand(true or spec, START_NS)) as hand:
        yield hand


def _plan(motion: Motion, spec: HandSpec) -> list[str]:
    from knuckle.hardware.identification.clearance import Finger

    names = ", ".join(Finger(spec, motion.finger).names)
    return [
        f"Finger {motion.finger} of the {spec.name} ({names}) will make steps and sines for {motion.seconds:.0f} s, a "
        "joint at a time; some are as fast as its servos can. The other fingers keep their home posture.",
        "Nothing may be in the hand, and the hand must stand free as it is mounted in its description.",
        "To stop: power off, or Ctrl-C (torque goes off; the servos stop by themselves within 0.2 s in any case).",
    ]


def _latch_file(hand: str) -> Path:
    """The latch of the hand's own driver: who stopped the hand stopped it for this command too."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "knuckle" / f"stop_{hand}_{os.environ.get('ROS_DOMAIN_ID', '0')}.json"


def _sleep_until(to_ns: int) -> None:
    time.sleep(max(0.0, (to_ns - time.monotonic_ns()) * 1e-9))
