"""Pose and velocity of a known object from labelled clouds: found once, then followed, and said to be lost when it is.

A cloud is judged against the object's exact shape. What speaks for a pose are points on its surface; what speaks
against it are points off it, and surface that the camera should have seen but looked through. A pose is believed only
where both agree; meanwhile the filter goes on by itself, less and less certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from knuckle.core import rotations
from knuckle.core.config import setting, validate
from knuckle.core.errors import InputError
from knuckle.hardware.spec.contracts import Extrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.perception.cloud import Cloud
from knuckle.perception.labels import OBJECT, TABLE
from knuckle.perception.object_alignment import ARM_M, Evidence, Poses, fit, joined, normal_equations, one_pose, refine
from knuckle.perception.object_hypotheses import NEWCOMER, Hypotheses, judged
from knuckle.perception.object_model import ObjectModel
from knuckle.perception.object_search import SURFACE, laid_into, rotation_matrices, search, thinned
from knuckle.perception.pose_filter import PoseFilter
from knuckle.perception.sight import CameraPlace, Sight

TABLE_POINTS = 300  # of a cloud, that show a table


@dataclass(frozen=True)
class ObjectPoseConfig:
    """How a known object is found and followed, and when it counts as lost."""

    grid_m: float = setting(0.003, "cell of the distance grid", low=0.0005, high=0.02, unit="m")
    rotations: int = setting(400, "rotations that a search begins from", low=50, high=20000)
    watch: int = setting(24, "rotations tried beside the one that is followed, other ones each frame", low=0, high=2000)
    points: int = setting(200, "points of the cloud that following uses", low=30, high=5000)
    least_points: int = setting(25, "object points without which a frame says nothing", low=6, high=1000)
    kernel_m: float = setting(0.004, "distance from the surface at which a point counts half", low=0.0005, high=0.05)
    believed: float = setting(0.06, "cost (misfit and contradiction, 0 to 2) up to which a pose is believed", low=0.0)
    confirm: int = setting(2, "frames in which a search's result must hold before it is believed", low=1, high=100)
    patience: int = setting(6, "frames after which a start that explains nothing is an error", low=1, high=1000)
    sigma_m: float = setting(0.0015, "deviation of a point from the surface", low=1e-5, high=0.05, unit="m")
    independent: float = setting(60.0, "points that err independently, at most", low=1.0, high=1e5)
    floor_m: float = setting(0.0004, "error of a measured position at least", low=0.0, high=0.05, unit="m")
    floor_rad: float = setting(0.006, "error of a measured rotation at least", low=0.0, high=1.0, unit="rad")
    acceleration: float = setting(1.5, "accelerations to expect", low=0.01, high=100.0, unit="m/s^2")
    spin_change: float = setting(20.0, "changes of spin to expect", low=0.1, high=1000.0, unit="rad/s^2")
    decay_s: float = setting(0.2, "time in which a velocity decays unseen", low=0.01, high=100.0, unit="s")
    lost_m: float = setting(0.012, "deviation of position from which it is lost", low=0.001, high=1.0, unit="m")
    lost_rad: float = setting(0.35, "deviation of rotation from which it is lost", low=0.01, high=3.0, unit="rad")


@dataclass(frozen=True)
class ObjectEstimate:
    """The object at ``stamp_ns`` in the world: centre of mass ``position`` m, ``quaternion`` w x y z, ``velocity`` m/s
    and ``spin`` rad/s along the world's axes.

    ``covariance`` (6, 6) of position m and rotation rad (world axes). ``lost``: do not rely on it. ``cost`` (0 to 2)
    and ``inliers`` (0 to 1) of the pose in this frame, NaN where nothing was measured; ``rivals`` other poses that
    explain what was seen nearly as well.
    """

    stamp_ns: int
    position: Array
    quaternion: Array
    velocity: Array
    spin: Array
    covariance: Array
    lost: bool
    measured: bool
    cost: float
    inliers: float
    rivals: int


class ObjectPoseTracker:
    """Follows ``thing`` through clouds of ``hand``'s frame, seen by a camera at ``extrinsics``.

    The same clouds give the same bits. The object's frame is that of the ObjectShape.
    """

    def __init__(
        self, thing: ObjectShape, hand: HandSpec, extrinsics: Extrinsics, config: ObjectPoseConfig = ObjectPoseConfig()
    ) -> None:
        self.config = validate(config, where="object_pose")
        self.thing, self.hand = thing, hand
        self.model = ObjectModel(thing, self.config.grid_m)
        self._camera = CameraPlace(hand, extrinsics)
        self._turns = rotation_matrices(self.config.rotations)
        self.reset()

    @property
    def stamp_ns(self) -> int | None:
        """The stamp of the newest cloud; None where there was none."""
        return self._stamp_ns

    @property
    def found(self) -> bool:
        """Whether the object has been found since the last reset; it may be lost now."""
        return self._filter is not None

    @property
    def _confirmed(self) -> bool:
        """Whether what is followed has held for long enough since it was found."""
        return self._agreed >= self.config.confirm

    def reset(self) -> None:
        """Forget everything; the next cloud may have any stamp and starts a search."""
        self._stamp_ns: int | None = None
        self._filter: PoseFilter | None = None
        self._hypotheses: Hypotheses | None = None
        self._searching = True
        self._frame = self._agreed = 0

    def push(self, cloud: Cloud) -> ObjectEstimate:
        """The object at the time of ``cloud``.

        InputError for a cloud of wrong shape, not finite, or not later than the one before (nothing is changed); at the
        start also for one without object points, and after `patience` frames that no pose of the object explains.
        """
        checked(cloud, self._stamp_ns)
        evidence = self._evidence(cloud)
        if self._filter is None and len(evidence.points) < self.config.least_points:
            right = f"at least {self.config.least_points} to start: is the object in view, are hand and table in place?"
            raise InputError(f"{len(evidence.points)} object points", where="object cloud", right=right)
        dt_s = 0.0 if self._stamp_ns is None else (cloud.stamp_ns - self._stamp_ns) * 1e-9
        self._stamp_ns = cloud.stamp_ns
        self._frame += 1
        if self._filter is not None:
            self._filter.predict(dt_s)
        looked = len(evidence.points) >= self.config.least_points
        measured = looked and self._measure(evidence)
        self._refuse_what_never_fits()
        return self._estimate(cloud.stamp_ns, looked, measured)

    def _evidence(self, cloud: Cloud) -> Evidence:
        world = base_to_world(self.hand, cloud.points.astype(np.float64)).astype(np.float32)
        on_table = cloud.label == TABLE
        sight = Sight(self._camera, world, on_table)
        # Where the table was taken away, a few points of the object in its plane still bear its label.
        table = int(on_table.sum()) >= TABLE_POINTS
        return Evidence(world[cloud.label == OBJECT], sight, self._camera.position.astype(np.float32), table)

    def _measure(self, evidence: Evidence) -> bool:
        """Bring the hypotheses up to this frame, and the filter where the best of them is to be believed."""
        old = None if self._searching else self._hypotheses
        few = thinned(evidence, self.config.points)
        continued, new = self._candidates(few, old)
        newcomer = NEWCOMER if self._confirmed else 0.0
        found = judged(self.model, few, old, continued, new, self.config.kernel_m, newcomer=newcomer)
        self._hypotheses = found
        if found.cost[0] > self.config.believed:
            return False
        best = found.poses[:1]
        position, quaternion = best.position[0], rotations.from_matrix(best.turn[0])
        covariance = self._covariance(few, best)
        if self._filter is None or old is None or found.parent[0] != 0:
            self._filter = self._begun(position, quaternion, covariance)
            self._agreed = 1
        else:
            self._agreed += 1
            self._filter.update(position, quaternion, covariance)
        return True

    def _candidates(self, evidence: Evidence, old: Hypotheses | None) -> tuple[list[tuple[int, Poses]], Poses | None]:
        """Poses that continue old hypotheses, and new ones from a search."""
        kernel = self.config.kernel_m
        if old is None or self._filter is None:
            start = laid_into(self.model, evidence, self._turns)
            if self._filter is not None:
                start = joined([start, self._around(self._predicted())])
            return [], search(self.model, evidence, start, 4, kernel).poses
        steps = (0.012, 0.008, 0.006, 0.005, kernel)
        starts = joined([self._predicted(), old.poses])
        refined = refine(self.model, evidence, starts, steps, SURFACE // 2)
        continued = [(0, refined[:1])] + [(k, refined[k + 1 : k + 2]) for k in range(len(old.poses))]
        cost = float(fit(self.model, evidence, refined, kernel, SURFACE).cost.min())
        if cost > 0.5 * self.config.believed:
            wider = search(self.model, evidence, self._around(self._predicted()), 2, kernel).poses
            continued.append((0, wider))
            cost = min(cost, float(fit(self.model, evidence, wider, kernel, SURFACE).cost.min()))
        sure = self._confirmed and cost <= self.config.believed
        others = laid_into(self.model, evidence, self._share(self.config.watch if sure else len(self._turns) // 2))
        return continued, search(self.model, evidence, others, 2, kernel).poses if len(others) else None

    def _predicted(self) -> Poses:
        assert self._filter is not None
        return one_pose(self._filter.position, self._filter.quaternion)

    def _around(self, pose: Poses) -> Poses:
        """``pose`` and 20 turns of it by 0.4 to 0.8 rad about its axes and their diagonals."""
        axes = np.concatenate([np.eye(3), -np.eye(3)])
        diagonal = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
        turns = np.concatenate([0.4 * axes, 0.8 * axes, 0.6 * diagonal, -0.6 * diagonal])
        steps = np.concatenate([np.zeros_like(turns), turns], axis=1)
        many = Poses(np.repeat(pose.position, len(steps), axis=0), np.repeat(pose.turn, len(steps), axis=0))
        return joined([pose, many.moved(steps)])

    def _share(self, k: int) -> Array:
        """``k`` of the rotations, others each frame, so that in a while all of them have been tried."""
        if k == 0:
            return self._turns[:0]
        # Neighbours on the spiral are alike: a share is taken from all over it.
        shares = max(1, len(self._turns) // k)
        return self._turns[self._frame % shares :: shares][:k]

    def _covariance(self, evidence: Evidence, best: Poses) -> Array:
        """Of the measured pose, world axes: points err together, and never less than the floors."""
        c = self.config
        a = normal_equations(self.model, evidence, best, c.kernel_m, SURFACE)[0][0]
        a *= min(1.0, c.independent / len(evidence.points)) / c.sigma_m**2
        a += np.diag([1.0] * 3 + [ARM_M**2] * 3) / 0.05**2
        turn = np.kron(np.eye(2), best.turn[0])
        floor = np.diag([c.floor_m**2] * 3 + [c.floor_rad**2] * 3)
        return np.asarray(turn @ np.linalg.inv(a) @ turn.T + floor)

    def _begun(self, position: Array, quaternion: Array, covariance: Array) -> PoseFilter:
        c = self.config
        return PoseFilter(
            position,
            quaternion,
            covariance,
            acceleration=c.acceleration,
            spin_change=c.spin_change,
            decay_s=c.decay_s,
        )

    def _refuse_what_never_fits(self) -> None:
        found = self._hypotheses
        if self._filter is not None or found is None or self._frame < self.config.patience:
            return
        share = round(100.0 * float(found.inliers[0]))
        what = (
            f"no pose of '{self.thing.name}' explains the points: at best {share}% lie on it, cost {found.cost[0]:.2f}"
        )
        raise InputError(what, where="object cloud", right=f"cost up to {self.config.believed:g}: is it that object?")

    def _estimate(self, stamp_ns: int, looked: bool, measured: bool) -> ObjectEstimate:
        found = self._hypotheses
        if self._filter is None:
            assert found is not None
            best = found.poses[:1]
            state = self._begun(best.position[0], rotations.from_matrix(best.turn[0]), 10.0 * np.eye(6))
        else:
            state = self._filter
        covariance = state.covariance
        if found is not None and measured:
            covariance += found.spread()
        deviation_m = float(np.sqrt(np.linalg.eigvalsh(covariance[:3, :3])[-1]))
        deviation_rad = float(np.sqrt(np.linalg.eigvalsh(covariance[3:, 3:])[-1]))
        contradicted = looked and not measured
        doubted = contradicted or not self._confirmed
        lost = doubted or deviation_m > self.config.lost_m or deviation_rad > self.config.lost_rad
        self._searching = lost and not measured
        return ObjectEstimate(
            stamp_ns=stamp_ns,
            position=state.position.copy(),
            quaternion=state.quaternion.copy(),
            velocity=state.velocity.copy(),
            spin=state.spin.copy(),
            covariance=covariance,
            lost=lost,
            measured=measured,
            cost=float(found.cost[0]) if found is not None and measured else float("nan"),
            inliers=float(found.inliers[0]) if found is not None and measured else float("nan"),
            rivals=len(found.cost) - 1 if found is not None and measured else 0,
        )


def checked(cloud: Cloud, last_ns: int | None) -> None:
    """InputError where ``cloud`` has the wrong shape, a point is not finite, or its stamp is not after ``last_ns``."""
    shape, where = cloud.points.shape, "object cloud"
    if len(shape) != 2 or shape[1] != 3 or cloud.label.shape != shape[:1]:
        what = f"points {shape} with labels {cloud.label.shape}"
        raise InputError(what, where=where, right="points (n, 3) and labels (n,)")
    if not np.isfinite(cloud.points).all():
        count = int((~np.isfinite(cloud.points)).any(axis=1).sum())
        raise InputError(f"{count} points are not finite", where=where, right="finite metres")
    if last_ns is not None and cloud.stamp_ns <= last_ns:
        what = f"stamp {cloud.stamp_ns} ns after {last_ns} ns"
        raise InputError(what, where=where, right="stamps that grow, or reset() first")
