"""Perception as one object: messages' contents in, what was seen out. Node, replay and tests run this same code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from knuckle.core.config import validate
from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import DepthFrame, Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.hands import hand_spec
from knuckle.perception.cloud import Cloud, CloudBuilder, CloudConfig
from knuckle.perception.depth_image import DepthImage, depth_frame
from knuckle.perception.pairing import Paired, PairingConfig, StampPairing
from knuckle.perception.view_config import ViewConfig

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Builder(Protocol[T_co]):
    """What makes something of a frame and the joint angles ``q`` (dof,) in rad at its stamp."""

    def build(self, frame: DepthFrame, q: Array) -> T_co:
        """What is seen in ``frame``. Raises InputError where the image or ``q`` has the wrong size."""


@dataclass(frozen=True)
class PerceptionConfig(CloudConfig, PairingConfig, ViewConfig):
    """What is seen from where, how it becomes a cloud, and how frames meet their joint states."""


@dataclass
class PerceptionCounts:
    """Messages since the start: frames received, clouds (or whatever is made of one), what was refused, by reason."""

    frames: int = 0
    clouds: int = 0
    bad_image: int = 0
    bad_camera_info: int = 0
    no_camera_info: int = 0
    bad_joint_state: int = 0


class Sight(Generic[T]):
    """Depth images, camera infos and joint states in; what ``builder`` makes of them out, in the order of their stamps.

    An image is taken with the camera_info of its own stamp, as cameras publish them, and with the joint angles at its
    stamp (see pairing). What is refused is counted and described in ``last_problem``; nothing raises on bad messages.
    """

    def __init__(self, spec: HandSpec, builder: Builder[T], pairing: PairingConfig) -> None:
        self.spec, self.builder, self._waiting = spec, builder, pairing.waiting
        self.pairing = StampPairing(pairing)
        self.counts = PerceptionCounts()
        self.last_problem = ""
        self._images: dict[int, DepthImage] = {}
        self._infos: dict[int, Intrinsics] = {}
        self._refused: dict[int, str] = {}
        self._pinhole: Intrinsics | None = None

    @property
    def dropped(self) -> int:
        """Frames of which nothing was made and never will be."""
        c, p = self.counts, self.pairing.counts
        return c.bad_image + c.no_camera_info + p.late + p.no_joint_state + p.backwards

    def on_joint_state(self, stamp_ns: int, names: Sequence[str], positions: Sequence[float]) -> list[T]:
        """A joint state, mapped by name; what it completes."""
        q = self._angles(names, positions)
        return [] if q is None else self._made(self.pairing.push_joints(stamp_ns, q))

    def on_camera_info(self, stamp_ns: int, intrinsics: Intrinsics) -> list[T]:
        """The intrinsics of the image of the same stamp; refused where they are not those of the first frame used."""
        if self._pinhole is not None and intrinsics != self._pinhole:
            self.refuse_camera_info(
                f"camera_info: {_changes(self._pinhole, intrinsics)}; restart perception if meant", stamp_ns
            )
            return []
        self._infos[stamp_ns] = intrinsics
        _keep_newest(self._infos, self._waiting)
        return self._match(stamp_ns)

    def on_image(self, image: DepthImage) -> list[T]:
        """A depth image; what it completes (its own frame only if the joint states have reached it)."""
        self.counts.frames += 1
        if image.stamp_ns in self._refused:
            self.last_problem = self._refused.pop(image.stamp_ns)
            self.counts.no_camera_info += 1
            return []
        self._images[image.stamp_ns] = image
        seen = self._match(image.stamp_ns)
        lost = _keep_newest(self._images, self._waiting)
        if lost:
            self.counts.no_camera_info += lost
            self.last_problem = "depth images without a camera_info of the same stamp"
        return seen

    def refuse_camera_info(self, problem: str, stamp_ns: int) -> None:
        """Note a camera_info that has no usable intrinsics; the image of its stamp is dropped, now or when it comes."""
        self.counts.bad_camera_info += 1
        self.last_problem = problem
        if self._images.pop(stamp_ns, None) is not None:
            self.counts.no_camera_info += 1
        else:
            self._refused[stamp_ns] = problem
            _keep_newest(self._refused, self._waiting)

    def _match(self, stamp_ns: int) -> list[T]:
        if stamp_ns not in self._images or stamp_ns not in self._infos:
            return []
        image, intrinsics = self._images.pop(stamp_ns), self._infos.pop(stamp_ns)
        try:
            frame: DepthFrame = depth_frame(image, intrinsics, self.counts.frames)
        except InputError as error:
            self.counts.bad_image += 1
            self.last_problem = str(error)
            return []
        # From here on the camera may not become another one unseen.
        self._pinhole = intrinsics
        return self._made(self.pairing.push_frame(frame))

    def _made(self, pairs: list[Paired]) -> list[T]:
        self.counts.clouds += len(pairs)
        return [self.builder.build(pair.frame, pair.q) for pair in pairs]

    def _angles(self, names: Sequence[str], positions: Sequence[float]) -> Array | None:
        """Joint angles in the spec's order; None, counted and described, where names or values will not do."""
        index = {name: i for i, name in enumerate(names)}
        missing = [name for name in self.spec.joint_names if name not in index]
        values = np.asarray(positions, dtype=np.float64)
        if missing or len(index) != len(names) or len(values) != len(names):
            what = f"no {', '.join(missing)}" if missing else "names doubled, or not one position for each"
            self._refuse_joints(f"joint_states: {what}")
            return None
        q = values[[index[name] for name in self.spec.joint_names]]
        if not np.isfinite(q).all():
            self._refuse_joints("joint_states: a position is not finite")
            return None
        return q

    def _refuse_joints(self, problem: str) -> None:
        self.counts.bad_joint_state += 1
        self.last_problem = problem


class Perception(Sight[Cloud]):
    """Labelled clouds from depth images, camera infos and joint states."""

    def __init__(self, config: PerceptionConfig = PerceptionConfig()) -> None:
        self.config = validate(config, where="perception")
        spec = hand_spec(config.hand, where="perception.hand")
        super().__init__(spec, CloudBuilder(spec, config.extrinsics(), config), config)


def _changes(before: Intrinsics, now: Intrinsics) -> str:
    """What is no longer as it was, in words."""
    fields = {name: (getattr(before, name), getattr(now, name)) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    return ", ".join(f"{name} was {old:.6g} and is {new:.6g}" for name, (old, new) in fields.items() if old != new)


def _keep_newest(held: dict[int, T], n: int) -> int:
    """Forget all but the ``n`` entries that came last; how many were forgotten."""
    surplus = list(held)[: max(0, len(held) - n)]
    for stamp_ns in surplus:
        del held[stamp_ns]
    return len(surplus)
