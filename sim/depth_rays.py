"""Depth and colour images by casting one ray a pixel: exact, and needs nothing but MuJoCo itself."""

from __future__ import annotations

from copy import copy
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from knuckle.hardware.spec.contracts import Intrinsics
from knuckle.hardware.spec.hand_spec import Array
from knuckle.sim.engine import mujoco
from knuckle.sim.intruder import Ball
from knuckle.sim.scene import DEPTH_CAMERA, STATE, Scene, vertical_fov_deg

FAR_M = 12.0
SKY = (0.78, 0.82, 0.88)
LIGHT = np.array([0.35, -0.45, 0.82]) / np.linalg.norm([0.35, -0.45, 0.82])


class RayRenderer:
    """The same images as `EglRenderer` gives, without OpenGL; colour is shaded by the surface's normal."""

    def __init__(self, intrinsics: Intrinsics) -> None:
        self._intrinsics = intrinsics
        self._lock = Lock()
        self._source_model: mujoco.MjModel | None = None

    def depth(self, scene: Scene, state: Array) -> NDArray[np.float32]:
        """Distance along the optical axis in m (height, width), of ``state`` (nstate,); `FAR_M` where nothing is."""
        with self._lock:
            distance, _, cosine, _ = self._cast(scene, state, DEPTH_CAMERA, normals=False)
        depth = np.where(distance < 0.0, FAR_M, distance * cosine)
        return depth.astype(np.float32).reshape(self._intrinsics.height, self._intrinsics.width)

    def colour(self, scene: Scene, state: Array, camera: str, ball: Ball | None = None) -> NDArray[np.uint8]:
        """The view of a camera of the scene, and of ``ball`` in it, red green blue (height, width, 3)."""
        with self._lock:
            distance, geom, _, normal = self._cast(scene, state, camera, normals=True)
            paint = self._model.geom_rgba[geom, :3]
            if ball is not None:
                eye, directions = self._eye(camera)
                self._paint_ball(ball, eye, directions, distance, normal, paint)
        shade = 0.45 + 0.55 * np.clip(normal @ LIGHT, 0.0, 1.0)
        image = np.where(distance[:, None] < 0.0, SKY, paint * shade[:, None])
        shape = (self._intrinsics.height, self._intrinsics.width, 3)
        return np.clip(255.0 * image, 0, 255).astype(np.uint8).reshape(shape)

    def close(self) -> None:
        """Nothing is held."""

    def _eye(self, camera: str) -> tuple[Array, Array]:
        """Where a camera is (3,) and its rays (n, 3), in the world, as of the last cast."""
        eye = self._model.camera(camera).id
        rays, _ = self._rays(float(self._model.cam_fovy[eye]))
        return self._data.cam_xpos[eye].copy(), rays @ self._data.cam_xmat[eye].reshape(3, 3).T

    @staticmethod
    def _paint_ball(ball: Ball, eye: Array, rays: Array, distance: Array, normal: Array, paint: Array) -> None:
        """Put the ball where it is nearer than what its rays hit: their distance, normal and colour change."""
        to = ball.centre - eye
        along = rays @ to
        inside = along**2 - float(to @ to) + ball.radius**2
        near = along - np.sqrt(np.maximum(inside, 0.0))
        seen = (inside > 0.0) & (near > 0.0) & ((distance < 0.0) | (near < distance))
        distance[seen] = near[seen]
        normal[seen] = (near[seen, None] * rays[seen] - to) / ball.radius
        paint[seen] = ball.colour

    def _cast(
        self, scene: Scene, state: Array, camera: str, *, normals: bool
    ) -> tuple[Array, NDArray[np.int32], Array, Array]:
        """Distance (n,), -1 where nothing is hit; geometry (n,); cosine to the axis (n,); normals (n, 3)."""
        if self._source_model is not scene.model:
            self._model, self._source_model = copy(scene.model), scene.model
            self._model.cam_fovy[self._model.camera(DEPTH_CAMERA).id] = vertical_fov_deg(self._intrinsics)
            self._data = mujoco.MjData(self._model)
        model, data = self._model, self._data
        mujoco.mj_setState(model, data, state, STATE)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        eye = model.camera(camera).id
        rays, cosine = self._rays(float(model.cam_fovy[eye]))
        n = len(rays)
        directions = np.ascontiguousarray(rays @ data.cam_xmat[eye].reshape(3, 3).T).reshape(-1)
        geom, distance = np.full(n, -1, dtype=np.int32), np.full(n, -1.0)
        normal = np.zeros(3 * n) if normals else None
        mujoco.mj_multiRay(
            model, data, data.cam_xpos[eye].copy(), directions, None, True, -1, geom, distance, normal, n, FAR_M
        )
        return distance, geom, cosine, np.zeros((n, 3)) if normal is None else normal.reshape(n, 3)

    def _rays(self, fovy_deg: float) -> tuple[Array, Array]:
        """Unit rays (n, 3) in MuJoCo's camera frame (x right, y up, -z forward) and their cosine to the axis (n,)."""
        k = self._intrinsics
        focal = 0.5 * k.height / np.tan(0.5 * np.radians(fovy_deg))
        u, v = np.meshgrid(np.arange(k.width), np.arange(k.height))
        rays = np.stack([(u - k.cx) / focal, -(v - k.cy) / focal, -np.ones(u.shape)], axis=-1).reshape(-1, 3)
        length = np.linalg.norm(rays, axis=1)
        return rays / length[:, None], 1.0 / length
