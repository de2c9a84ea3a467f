"""The scene as the depth camera shows it: joints as the hand reports them, the object from clouds alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from knuckle.core import rotations
from knuckle.perception.cloud import CloudBuilder
from knuckle.perception.object_pose import ObjectEstimate, ObjectPoseConfig, ObjectPoseTracker
from knuckle.policy.contract import SceneState
from knuckle.sim.depth import SimDepthCamera
from knuckle.sim.depth_noise import DepthNoise
from knuckle.sim.world import SimWorld

D415 = DepthNoise()


@dataclass
class PerceptionTally:
    """What perceiving was worth and cost in an episode; it is never shown to the policy.

    One entry a frame: the errors against the truth in rad and m, of velocity in m/s and of spin in rad/s, whether the
    object was said to be lost, and the processor time in s of cloud and pose (not of drawing the picture).
    """

    angle_rad: list[float] = field(default_factory=list)
    offset_m: list[float] = field(default_factory=list)
    velocity_error: list[float] = field(default_factory=list)
    spin_error: list[float] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Frames seen."""
        return len(self.lost)

    def figures(self) -> dict[str, float]:
        """Medians, the share of frames lost, and what a frame cost; NaN where nothing was seen."""
        if not self.frames:
            return dict.fromkeys(("pose_error_deg", "position_error_mm", "lost_share", "perception_ms"), float("nan"))
        return {
            "pose_error_deg": float(np.degrees(np.median(self.angle_rad))),
            "position_error_mm": 1e3 * float(np.median(self.offset_m)),
            "lost_share": float(np.mean(self.lost)),
            "perception_ms": 1e3 * float(np.median(self.cpu_s)),
        }


class PerceivedScene:
    """A source of scene states that looks at ``world`` through its own simulated camera; its shape is known.

    One state for each time of the world: asked again at the same time it answers the same. While the object is lost
    the state holds where it is believed to be. ``noise`` is off where None. InputError where nothing of the object is
    seen at the start, or no pose of it explains what is.
    """

    def __init__(
        self,
        world: SimWorld,
        *,
        noise: DepthNoise | None = D415,
        seed: int = 0,
        source: str = "auto",
        config: ObjectPoseConfig | None = None,
    ) -> None:
        self.world, self.tally = world, PerceptionTally()
        self.camera = SimDepthCamera(world, source=source, noise=noise, seed=seed)
        self._builder = CloudBuilder(world.spec, self.camera.extrinsics)
        thing, settings = world.scene.thing, config or ObjectPoseConfig()
        self._tracker = ObjectPoseTracker(thing, world.spec, self.camera.extrinsics, settings)
        self._state: SceneState | None = None
        self.estimate: ObjectEstimate | None = None

    @property
    def lost(self) -> bool:
        """Whether the object is lost in the newest frame, or none was seen yet."""
        return self.estimate is None or self.estimate.lost

    def state(self) -> SceneState:
        """The scene now."""
        if self._state is not None and self._state.stamp_ns == self.world.now_ns:
            return self._state
        hand, frame = self.world.read(), self.camera.render()
        began = time.process_time()
        seen = self._tracker.push(self._builder.build(frame, hand.q))
        cost = time.process_time() - began
        self.estimate = seen
        self._count(seen, cost)
        self._state = SceneState(
            hand.stamp_ns, hand.q, hand.dq, seen.position, seen.quaternion, seen.velocity, seen.spin
        )
        return self._state

    def close(self) -> None:
        """Free the camera."""
        self.camera.close()

    def _count(self, seen: ObjectEstimate, cost: float) -> None:
        truth, tally = self.world.object_truth(), self.tally
        tally.angle_rad.append(float(rotations.angle_between(seen.quaternion, truth.quaternion)))
        tally.offset_m.append(float(np.linalg.norm(seen.position - truth.position)))
        tally.velocity_error.append(float(np.linalg.norm(seen.velocity - truth.velocity)))
        tally.spin_error.append(float(np.linalg.norm(seen.spin - truth.spin)))
        tally.lost.append(seen.lost)
        tally.cpu_s.append(cost)
