"""Hand-eye calibration with the camera fixed and the marker on the hand.

A view gives the tip's pose in hand_base from joint angles, and the marker's corners in the image. Unknown are the
camera in hand_base, X, and the marker on the tip, Y:

    corner_px = project(X^-1 T_tip Y corner)

Dual quaternions (`dual_quaternion.py`) start from few views, many times over, because a small marker's pose is
ambiguous and some views are wrong; the start that most views agree with is refined over the corners themselves, and
views that then do not fit are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from knuckle.core import rotations
from knuckle.core.errors import RunError
from knuckle.hardware.hand_eye.dual_quaternion import compose, fixed_camera, inverse
from knuckle.hardware.hand_eye.lens import normalised
from knuckle.hardware.hand_eye.marker import corners_of, opencv
from knuckle.hardware.spec.contracts import Extrinsics, Intrinsics
from knuckle.hardware.spec.hand_spec import Array

WHERE = "hand-eye calibration"
FEWEST_VIEWS = 8
STARTS = 60
STARTING_VIEWS = 5
OUTLIER_TIMES = 3.0
OUTLIER_PX = 1.0
LARGEST_SIGMA_M = 0.01


@dataclass(frozen=True)
class View:
    """A tip's pose in hand_base, (3,) m and (4,) w x y z, and the marker's corners (4, 2) in pixels."""

    position: Array
    quaternion: Array
    corners: Array


@dataclass(frozen=True)
class HandEye:
    """The camera's optical frame in hand_base; the marker on the tip's link; how well it fits.

    ``used`` (views,) says which views were believed; ``residual_px`` is the root mean square over their corners;
    ``sigma_m`` and ``sigma_rad`` are one deviation of the camera's place and orientation.
    """

    camera: Extrinsics
    marker_position: Array
    marker_quaternion: Array
    used: NDArray[np.bool_]
    residual_px: float
    sigma_m: float
    sigma_rad: float


def solve(views: Sequence[View], k: Intrinsics, side: float, rng: np.random.Generator) -> HandEye:
    """Calibrate from ``views`` of a marker of ``side`` m by a camera ``k``.

    Raises RunError where there are too few views, they do not agree, or they leave the camera's place open, as where
    the tip turned about one axis only.
    """
    if len(views) < FEWEST_VIEWS:
        raise RunError(f"{len(views)} views of the marker", where=WHERE, right=f"at least {FEWEST_VIEWS}")
    problem = _Problem(views, k, side)
    best = problem.refine(problem.start(rng), np.ones(len(views), dtype=bool))
    used = problem.believed(best)
    for _ in range(3):
        best = problem.refine(best, used)
        again = problem.believed(best)
        if (again == used).all():
            break
        used = again
    if used.sum() < max(FEWEST_VIEWS, len(views) // 2):
        what = f"only {used.sum()} of {len(views)} views agree"
        raise RunError(what, where=WHERE, right="the marker's side, its finger, and a plate that does not slip")
    return problem.result(best, used)


class _Problem:
    """The unknowns are 12 numbers: for X and Y each a rotation vector and a position."""

    def __init__(self, views: Sequence[View], k: Intrinsics, side: float) -> None:
        self.focal = 0.5 * (k.fx + k.fy)
        self.corners = corners_of(side)
        self.seen = np.stack([normalised(view.corners, k) for view in views])
        self.tip_p = np.stack([view.position for view in views])
        self.tip_q = np.stack([view.quaternion for view in views])

    def start(self, rng: np.random.Generator) -> Array:
        """The best of many starts by a few views each, by the median of the views' errors."""
        cv2 = opencv()
        poses = [self._marker_pose(cv2, seen) for seen in self.seen]
        turn, shift = np.stack([p[0] for p in poses]), np.stack([p[1] for p in poses])
        markers = [(q, p) for q, p in zip(turn, shift, strict=True)]
        tips = [(q, p) for q, p in zip(self.tip_q, self.tip_p, strict=True)]
        best, least = np.zeros(12), np.inf
        for _ in range(STARTS):
            chosen = rng.choice(len(self.seen), STARTING_VIEWS, replace=False)
            camera = fixed_camera([tips[k] for k in chosen], [markers[k] for k in chosen])
            if camera is None:
                continue
            for k in chosen:
                marker = compose(inverse(tips[k]), compose(camera, markers[k]))
                x = np.concatenate([rotations.log(camera[0]), camera[1], rotations.log(marker[0]), marker[1]])
                error = float(np.median(self.errors(x)))
                if error < least:
                    best, least = x, error
        if not np.isfinite(least):
            raise RunError("no two views agree", where=WHERE, right="postures that turn the tip about two axes")
        return best

    def _marker_pose(self, cv2: object, seen: Array) -> tuple[Array, Array]:
        """The marker in the camera by one view: the likelier of its two poses."""
        _, turn, shift = cv2.solvePnP(  # type: ignore[attr-defined]
            self.corners,
            seen.reshape(4, 1, 2),
            np.eye(3),
            None,
            flags=cv2.SOLVEPNP_IPPE_SQUARE,  # type: ignore[attr-defined]
        )
        return rotations.exp(turn[:, 0]), np.asarray(shift[:, 0])

    def residuals(self, x: Array) -> Array:
        """Errors (views, 4, 2) of the corners in pixels."""
        camera, marker = rotations.exp(x[:3]), rotations.exp(x[6:9])
        on_tip = rotations.rotate(marker, self.corners) + x[9:]
        in_base = rotations.rotate(self.tip_q[:, None], on_tip) + self.tip_p[:, None]
        seen = rotations.rotate(rotations.conjugate(camera), in_base - x[3:6])
        depth = np.where(np.abs(seen[..., 2:]) < 1e-6, 1e-6, seen[..., 2:])
        # What lies behind the camera is no view of it.
        away = np.where(seen[..., 2:] > 0.0, 0.0, 10.0)
        return np.asarray((seen[..., :2] / depth + away - self.seen) * self.focal)

    def errors(self, x: Array) -> Array:
        """Root mean square of each view's corners, pixels."""
        return np.asarray(np.sqrt((self.residuals(x) ** 2).sum(axis=-1).mean(axis=-1)))

    def _of(self, used: NDArray[np.bool_]) -> Callable[[Array], Array]:
        """The errors of the views that are used, as one vector."""

        def errors(x: Array) -> Array:
            return self.residuals(x)[used].ravel()

        return errors

    def believed(self, x: Array) -> NDArray[np.bool_]:
        """Views that fit as the middle one does, or nearly."""
        errors = self.errors(x)
        return np.asarray(errors <= max(OUTLIER_PX, OUTLIER_TIMES * float(np.median(errors))))

    def refine(self, x: Array, used: NDArray[np.bool_]) -> Array:
        """Least squares over the corners of the views that are used, large errors weighing less."""
        fit = least_squares(self._of(used), x, loss="soft_l1", f_scale=0.5, x_scale="jac", max_nfev=100)
        return np.asarray(fit.x)

    def result(self, x: Array, used: NDArray[np.bool_]) -> HandEye:
        """The solution with its deviations, from the curvature at it."""
        fit = least_squares(self._of(used), x, x_scale="jac", max_nfev=100)
        x, jacobian = np.asarray(fit.x), np.asarray(fit.jac)
        mean_square = float((fit.fun**2).sum()) / max(1, len(fit.fun) - len(x))
        scale = np.linalg.norm(jacobian, axis=0)
        if not (scale > 0.0).all() or np.linalg.cond(jacobian / scale) > 1e8:
            raise RunError("the views leave the camera's place open", where=WHERE, right="turn the tip about two axes")
        # The corners of a view share its error, which is that of the joint angles: a view counts once, not four times.
        covariance = 4.0 * mean_square * np.linalg.inv(jacobian.T @ jacobian)
        sigma_rad, sigma_m = (float(np.sqrt(np.trace(covariance[a : a + 3, a : a + 3]))) for a in (0, 3))
        if sigma_m > LARGEST_SIGMA_M:
            what = f"the camera's place is known to {1e3 * sigma_m:.0f} mm only"
            raise RunError(what, where=WHERE, right="more views, turned about two axes, nearer or with a larger marker")
        w, i, j, k = (float(v) for v in rotations.exp(x[:3]))
        a, b, c = (float(v) for v in x[3:6])
        residual = float(np.sqrt((self.errors(x)[used] ** 2).mean()))
        camera = Extrinsics((a, b, c), (w, i, j, k))
        return HandEye(camera, x[9:], rotations.exp(x[6:9]), used, residual, sigma_m, sigma_rad)
