"""The scene: hand, object, goal, cloud, camera and the stream's triad, in the world frame (z up, table at 0)."""

from __future__ import annotations

import math

import numpy as np
import viser
from numpy.typing import NDArray

from knuckle.hardware.spec.contracts import Intrinsics
from knuckle.hardware.spec.hand_spec import Array, HandSpec
from knuckle.hardware.spec.kinematics import link_poses
from knuckle.hardware.spec.mounts import camera_extrinsics, workplace_height
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle_ros.page import palette
from knuckle_ros.page.primitive_mesh import mesh_of

GOAL_PLACE = (0.18, 0.18, 0.13)
TRIAD_PLACE = (-0.17, -0.17, 0.10)
POINT_SIZE_M = 0.0018
BASE = "/hand_base"


class SceneView:
    """Handles of everything drawn; each ``show_`` method moves one thing, and leaves the rest."""

    def __init__(self, server: viser.ViserServer, spec: HandSpec, shape: ObjectShape | None) -> None:
        self._server, self._spec = server, spec
        self._raised = np.array([0.0, 0.0, workplace_height(spec)])
        self._colours = palette.label_colours(max(1, (len(spec.links) - 1) // max(1, len(spec.tips))))
        self._look()
        self._room()
        self._hand()
        self.draw_object(shape)
        self._stream()
        self._cloud: viser.PointCloudHandle | None = None
        self._frustum: viser.CameraFrustumHandle | None = None
        self._pinhole: Intrinsics | None = None
        place = camera_extrinsics(spec)
        self._camera_pose = np.array(place.position), np.array(place.quaternion)
        self._cloud_wanted = True

    def draw_object(self, shape: ObjectShape | None) -> None:
        """Another object (None: its axes alone), and its ghost as the goal; both hidden until they are shown."""
        self._object = self._body("/object", shape, 1.0)
        self._goal = self._body("/goal", shape, 0.55)
        self._goal.position = GOAL_PLACE + self._raised

    def show_joints(self, q: Array) -> None:
        """The hand at joint angles ``q`` (dof,) rad."""
        positions, quaternions = link_poses(self._spec, q)
        with self._server.atomic():
            for handle, position, quaternion in zip(self._links, positions, quaternions, strict=True):
                handle.position, handle.wxyz = position, quaternion

    def show_object(self, position: Array, quaternion: Array) -> None:
        """The object at a pose in the world: (3,) m, (4,) w x y z."""
        with self._server.atomic():
            self._object.visible = True
            self._object.position, self._object.wxyz = position, quaternion

    def show_goal(self, quaternion: Array | None) -> None:
        """The orientation wanted, beside the hand; None where nothing is wanted."""
        with self._server.atomic():
            self._goal.visible = self._goal_label.visible = quaternion is not None
            if quaternion is not None:
                self._goal.wxyz = quaternion

    def show_cloud(self, points: NDArray[np.float32], label: NDArray[np.uint8]) -> None:
        """The newest cloud, (n, 3) m in hand_base, coloured by label (n,)."""
        if not self._cloud_wanted:
            return
        colours = self._colours[label]
        if self._cloud is None:
            self._cloud = self._server.scene.add_point_cloud(
                f"{BASE}/cloud", points, colours, point_size=POINT_SIZE_M, point_shape="circle", point_shading="flat"
            )
        with self._server.atomic():
            self._cloud.points, self._cloud.colors = points, colours

    def want_cloud(self, wanted: bool) -> None:
        """Whether the cloud is drawn."""
        self._cloud_wanted = wanted
        if self._cloud is not None:
            self._cloud.visible = wanted

    def show_camera(self, intrinsics: Intrinsics) -> None:
        """The camera's frustum."""
        if intrinsics == self._pinhole:
            return
        self._pinhole = intrinsics
        position, quaternion = self._camera_pose
        self._frustum = self._server.scene.add_camera_frustum(
            f"{BASE}/camera",
            fov=2.0 * math.atan(0.5 * intrinsics.height / intrinsics.fy),
            aspect=intrinsics.width / intrinsics.height,
            scale=0.06,
            thickness=0.0015,
            color=palette.CAMERA,
            position=position,
            wxyz=quaternion,
        )

    def place_camera(self, position: Array, quaternion: Array) -> None:
        """Where the camera's optical frame stands in hand_base."""
        self._camera_pose = position, quaternion
        if self._frustum is not None:
            self._frustum.position, self._frustum.wxyz = position, quaternion

    def show_stream(self, quaternion: Array | None) -> None:
        """The stream's orientation as a triad; None where there is no estimate."""
        with self._server.atomic():
            self._triad.visible = self._triad_label.visible = quaternion is not None
            if quaternion is not None:
                self._triad.wxyz = quaternion

    def _look(self) -> None:
        """Where one looks from at first: hand, object and goal side by side."""
        camera = self._server.initial_camera
        camera.position = np.array([0.57, -0.57, 0.36]) + self._raised
        camera.look_at = np.array([0.015, 0.015, 0.12]) + 0.7 * self._raised
        shade = np.linspace(palette.SKY_HIGH, palette.SKY_LOW, 64).astype(np.uint8)
        self._server.scene.set_background_image(np.repeat(shade[:, None], 2, axis=1), format="png")
        camera.fov, camera.near, camera.far = math.radians(42.0), 0.01, 20.0

    def _room(self) -> None:
        scene = self._server.scene
        scene.world_axes.visible = False
        # An environment map, and shadows, cost a browser without a GPU all its frames (0.03 a second, 40 without).
        scene.configure_environment_map(None)
        scene.configure_default_lights(cast_shadow=False)
        scene.add_light_hemisphere("/sky", sky_color=(235, 240, 255), ground_color=(90, 80, 70), intensity=2.2)
        scene.add_box("/table", color=palette.TABLE_TOP, dimensions=(0.70, 0.70, 0.02), position=(0.0, 0.0, -0.0105))
        scene.add_grid(
            "/grid", 0.70, 0.70, cell_size=0.05, section_size=0.70, cell_color=palette.GRID, section_color=palette.GRID
        )

    def _hand(self) -> None:
        scene, spec = self._server.scene, self._spec
        scene.add_frame(BASE, show_axes=False, position=spec.mount_position, wxyz=np.array(spec.mount_quaternion))
        tips = {tip.link for tip in spec.tips}
        self._links = []
        for index, link in enumerate(spec.links):
            self._links.append(scene.add_frame(f"{BASE}/{link.name}", show_axes=False))
            colour = palette.PALM if index == 0 else palette.TIP if link.name in tips else palette.LINK
            mesh = mesh_of(link.primitives)
            scene.add_mesh_simple(f"{BASE}/{link.name}/mesh", mesh.vertices, mesh.faces, color=colour)
        self.show_joints(spec.home)

    def _body(self, name: str, shape: ObjectShape | None, opacity: float) -> viser.FrameHandle:
        """The object itself (opaque) or the goal's ghost; hidden until its pose is known."""
        scene = self._server.scene
        frame = scene.add_frame(name, show_axes=shape is None, axes_length=0.05, axes_radius=0.003, visible=False)
        solid = opacity == 1.0
        if shape is not None:
            r, g, b = (round(255 * c) for c in shape.colour)
            mesh = mesh_of(shape.primitives)
            scene.add_mesh_simple(
                f"{name}/mesh",
                mesh.vertices,
                mesh.faces,
                color=(r, g, b) if solid else palette.GOAL,
                opacity=None if solid else opacity,
                cast_shadow=solid,
            )
        if not solid:
            place = GOAL_PLACE + self._raised + (0.0, 0.0, 0.11)
            self._goal_label = scene.add_label("/goal_label", "goal", position=place, visible=False)
        return frame

    def _stream(self) -> None:
        scene = self._server.scene
        self._triad = scene.add_frame(
            "/stream", axes_length=0.06, axes_radius=0.0028, position=TRIAD_PLACE, visible=False
        )
        place = (TRIAD_PLACE[0], TRIAD_PLACE[1], TRIAD_PLACE[2] + 0.10)
        self._triad_label = scene.add_label("/stream_label", "IMU estimate", position=place, visible=False)
