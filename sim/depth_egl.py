"""Depth and colour images drawn by OpenGL on EGL: no display is needed, and Mesa draws on the CPU where no GPU is.

A GL context belongs to one thread, so each renderer keeps a thread of its own and every call is run there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from knuckle.core.errors import DeviceError
from knuckle.hardware.spec.contracts import Intrinsics
from knuckle.sim.engine import GL_WISH, mujoco
from knuckle.sim.intruder import Ball
from knuckle.sim.scene import DEPTH_CAMERA, STATE, Scene, vertical_fov_deg

T = TypeVar("T")

# Values of MUJOCO_GL under which no EGL is tried: OpenGL switched off.
NO_GL = ("disable", "disabled", "off", "false", "0")


class EglRenderer:
    """Images of one pinhole. ``samples`` a pixel smooth the edges of colour images; depth wants 0.

    Raises DeviceError with the reason where EGL cannot be used.
    """

    def __init__(self, intrinsics: Intrinsics, samples: int = 0) -> None:
        self._intrinsics, self._samples = intrinsics, samples
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="egl")
        self._model: mujoco.MjModel | None = None
        self._source_model: mujoco.MjModel | None = None
        self._gl: Any = None
        self._context: Any = None
        try:
            self._run(self._open)
        except BaseException:
            self._thread.shutdown()
            raise

    def depth(self, scene: Scene, state: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distance along the optical axis in m (height, width), of ``state`` (nstate,)."""
        return self._run(lambda: self._draw_depth(scene, state))

    def colour(
        self, scene: Scene, state: NDArray[np.float64], camera: str, ball: Ball | None = None
    ) -> NDArray[np.uint8]:
        """The view of a camera of the scene, and of ``ball`` in it, red green blue (height, width, 3)."""
        return self._run(lambda: self._draw_colour(scene, state, camera, ball))

    def close(self) -> None:
        """Free the context and end the thread."""
        if self._gl is not None:
            self._run(self._free)
        self._thread.shutdown()

    def _run(self, job: Callable[[], T]) -> T:
        return self._thread.submit(job).result()

    def _open(self) -> None:
        if GL_WISH in NO_GL:
            raise DeviceError("MUJOCO_GL switches OpenGL off", where="egl", right="unset it or MUJOCO_GL=egl")
        try:
            # Imported here: the import itself fails where libEGL is missing or PyOpenGL was bound to another platform.
            from mujoco.egl import GLContext

            self._gl = GLContext(self._intrinsics.width, self._intrinsics.height)
            self._gl.make_current()
        except Exception as error:  # whatever driver, loader or PyOpenGL raise means the same: there is no EGL here
            reason = f"{type(error).__name__}: {error}"[:160]
            raise DeviceError(f"no EGL context ({reason})", where="egl", right="install libegl1 and Mesa") from error

    def _load(self, scene: Scene) -> None:
        """A private copy of the scene's model, with this camera's field of view, and the GL objects for it."""
        if self._source_model is scene.model:
            return
        if self._context is not None:
            self._context.free()
        model = copy(scene.model)
        model.cam_fovy[model.camera(DEPTH_CAMERA).id] = vertical_fov_deg(self._intrinsics)
        model.vis.quality.offsamples = self._samples
        model.vis.global_.offwidth, model.vis.global_.offheight = self._intrinsics.width, self._intrinsics.height
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR.value
        self._drawing = mujoco.MjvScene(model=model, maxgeom=200)
        self._options = mujoco.MjvOption()
        self._options.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED.value
        self._rect = mujoco.MjrRect(0, 0, self._intrinsics.width, self._intrinsics.height)
        self._data = mujoco.MjData(model)
        self._model, self._source_model = model, scene.model

    def _stage(self, scene: Scene, state: NDArray[np.float64], camera: str) -> mujoco.MjModel:
        self._load(scene)
        model = self._model
        assert model is not None
        mujoco.mj_setState(model, self._data, state, STATE)
        mujoco.mj_kinematics(model, self._data)
        mujoco.mj_camlight(model, self._data)
        self._camera.fixedcamid = model.camera(camera).id
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(model, self._data, self._options, None, self._camera, everything, self._drawing)
        return model

    def _draw_depth(self, scene: Scene, state: NDArray[np.float64]) -> NDArray[np.float32]:
        model = self._stage(scene, state, DEPTH_CAMERA)
        self._drawing.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        self._drawing.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        buffer = np.empty((self._rect.height, self._rect.width), dtype=np.float32)
        mujoco.mjr_render(self._rect, self._drawing, self._context)
        mujoco.mjr_readPixels(None, buffer, self._rect, self._context)
        near = np.float64(model.vis.map.znear * model.stat.extent)
        far = np.float64(model.vis.map.zfar * model.stat.extent)
        # Reversed depth buffer: 1 at the near plane, 0 at the far one, and 1/z linear in between.
        depth = near * far / (near + buffer.astype(np.float64) * (far - near))
        return np.flipud(depth).astype(np.float32)

    def _draw_colour(
        self, scene: Scene, state: NDArray[np.float64], camera: str, ball: Ball | None
    ) -> NDArray[np.uint8]:
        self._stage(scene, state, camera)
        if ball is not None:
            self._add_ball(ball)
        self._drawing.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = False
        self._drawing.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        buffer = np.empty((self._rect.height, self._rect.width, 3), dtype=np.uint8)
        mujoco.mjr_render(self._rect, self._drawing, self._context)
        mujoco.mjr_readPixels(buffer, None, self._rect, self._context)
        return np.ascontiguousarray(np.flipud(buffer))

    def _add_ball(self, ball: Ball) -> None:
        """One more thing to draw, for this picture: staging another lists the scene's own things anew."""
        one = self._drawing.geoms[self._drawing.ngeom]
        kind, size = mujoco.mjtGeom.mjGEOM_SPHERE.value, np.array([ball.radius, 0.0, 0.0])
        rgba = np.array([*ball.colour, 1.0], dtype=np.float32)
        mujoco.mjv_initGeom(one, kind, size, ball.centre, np.eye(3).reshape(-1), rgba)
        self._drawing.ngeom += 1

    def _free(self) -> None:
        if self._context is not None:
            self._context.free()
        self._gl.free()
        self._gl = self._context = None
