"""Draw every object and print its measures.

python tools/object_sheet.py          writes docs/images/objects.png and prints the table that docs/objects.md holds
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knuckle.core import rotations
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import pinhole
from knuckle.hardware.spec.object_shape import ObjectShape, bounds
from knuckle.sim.asymmetry import require_asymmetric
from knuckle.sim.object_families.solids import turn
from knuckle.sim.objects import FAMILIES, NOVEL_FAMILIES, object_shape
from knuckle.sim.picture import png, tiled
from knuckle.sim.renderer import Renderer, choose_renderer
from knuckle.sim.scene import OBJECT_BODY, TABLE_GEOM, VIDEO_CAMERA, Scene, execution_scene

SHEET = Path(__file__).resolve().parent.parent / "docs" / "images" / "objects.png"
WIDTH, HEIGHT, COLUMNS = 220, 200, 9
FOVY_DEG = 21.0
YAW_DEG = {"sofa": 160.0, "excavator": 25.0, "elephant": -5.0, "saucepan": 15.0}
"""How far single objects are turned about the vertical to show what they are; the others are turned by -15 degrees."""


def main() -> int:
    """Draw and print."""
    chosen = choose_renderer("auto", pinhole(WIDTH, HEIGHT), samples=8)
    print("| family | object | longest side, mm | mass, g | parts | self-distance, mm |")
    print("|---|---|---|---|---|---|")
    frames = []
    for family, members in FAMILIES.items():
        for name in members:
            thing = object_shape(name)
            frames.append(portrait(chosen.renderer, name))
            figure = require_asymmetric(thing)
            label = f"{family} (novel)" if family in NOVEL_FAMILIES else family
            print(
                f"| {label} | {name} | {1e3 * thing.extent.max():.0f} | {1e3 * thing.mass:.0f} "
                f"| {len(thing.primitives)} | {1e3 * figure.distance:.2f} |"
            )
    chosen.renderer.close()
    SHEET.write_bytes(png(tiled(frames, COLUMNS)))
    return 0


def portrait(renderer: Renderer, name: str) -> NDArray[np.uint8]:
    """The object on the table without the hand, turned a little to the camera."""
    scene = execution_scene(hand_spec("dclaw3"), name)
    model = scene.model
    thing = model.body(OBJECT_BODY).id
    for geom in range(model.ngeom):
        if model.geom_bodyid[geom] != thing and geom != model.geom(TABLE_GEOM).id:
            model.geom_rgba[geom, 3] = 0.0
    model.geom_rgba[model.geom(TABLE_GEOM).id] = [0.93, 0.93, 0.92, 1.0]
    camera = model.camera(VIDEO_CAMERA).id
    model.cam_fovy[camera] = FOVY_DEG
    model.cam_pos[camera] += np.array([0.0, 0.0, -0.032])
    model.geom_size[model.geom(TABLE_GEOM).id, :2] = 20.0
    upright = np.array(turn("x", 90.0)) if name.startswith("letter") else rotations.IDENTITY
    pose = rotations.multiply(np.array(turn("z", YAW_DEG.get(name, -15.0))), upright)
    return renderer.colour(scene, _standing(scene, scene.thing, pose), VIDEO_CAMERA)


def _standing(scene: Scene, thing: ObjectShape, quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """The state in which the object stands on the table, its box centred under the camera's eye."""
    low, high = bounds(thing.primitives)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    turned = rotations.rotate(quaternion, corners)
    middle = 0.5 * (turned.min(axis=0) + turned.max(axis=0))
    place = np.array([-middle[0], -middle[1], -turned[:, 2].min()])
    rest = np.zeros(3)
    return scene.physics_state(scene.hand.home, np.zeros(scene.hand.dof), place, quaternion, rest, rest)


if __name__ == "__main__":
    raise SystemExit(main())
