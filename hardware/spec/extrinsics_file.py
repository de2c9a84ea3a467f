"""The file that says where a camera stands: of one hand and one camera, and used for no other.

JSON; ``position`` in m and ``quaternion`` w x y z are the pose of ``frame`` (an optical frame) in hand_base.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from knuckle.core.errors import InputError
from knuckle.core.figures import write_text
from knuckle.core.rotations import require_unit
from knuckle.hardware.spec.contracts import Extrinsics
from knuckle.hardware.spec.hand_spec import Quat, Vec3

SCHEMA = 1
MAX_BYTES = 1 << 16
REACH_M = 10.0


@dataclass(frozen=True)
class CameraPlace:
    """A calibrated camera: whose hand's, which camera (serial number), where, and how well that is known.

    ``residual_px`` is the root mean square of the marker's corners; ``sigma_mm`` and ``sigma_deg`` are one deviation of
    the place and the orientation as the fit tells them; ``used`` of ``views`` were believed.
    """

    hand: str
    camera: str
    frame: str
    position: Vec3
    quaternion: Quat
    residual_px: float
    sigma_mm: float
    sigma_deg: float
    views: int
    used: int
    method: str
    schema: int = SCHEMA

    @property
    def extrinsics(self) -> Extrinsics:
        """The pose of the camera's optical frame in hand_base."""
        return Extrinsics(self.position, self.quaternion)


def save(place: CameraPlace, path: Path) -> None:
    """Write it whole, or not at all."""
    write_text(path, json.dumps(asdict(place), indent=1) + "\n")


def load(path: Path, *, hand: str, camera: str = "") -> CameraPlace:
    """The place in the file at ``path``, of this ``hand`` and, where it is named, this ``camera``.

    Raises InputError where the file is missing, malformed, or of another hand or camera.
    """
    right = "`knuckle calibrate camera` writes one"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        data = json.loads(raw) if len(raw) <= MAX_BYTES else None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=str(path), right=right) from None
    except ValueError:
        raise InputError("is no JSON", where=str(path), right=right) from None
    place = _place_of(data, path, right)
    if place.hand != hand:
        raise InputError(f"the camera's place over a {place.hand}, not a {hand}", where=str(path), right=right)
    if camera and place.camera != camera:
        raise InputError(f"the place of camera {place.camera}, not {camera}", where=str(path), right=right)
    return place


def _place_of(data: object, path: Path, right: str) -> CameraPlace:
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else "none"
        raise InputError(f"schema {found}", where=str(path), right=f"schema {SCHEMA}; {right}")
    try:
        x, y, z = (float(v) for v in data["position"])
        w, i, j, k = (float(v) for v in require_unit(data["quaternion"], where=f"{path}: quaternion"))
        place = CameraPlace(
            hand=str(data["hand"]),
            camera=str(data["camera"]),
            frame=str(data["frame"]),
            position=(x, y, z),
            quaternion=(w, i, j, k),
            residual_px=float(data["residual_px"]),
            sigma_mm=float(data["sigma_mm"]),
            sigma_deg=float(data["sigma_deg"]),
            views=int(data["views"]),
            used=int(data["used"]),
            method=str(data["method"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"malformed: {type(error).__name__} {error}", where=str(path), right=right) from None
    if not max(abs(x), abs(y), abs(z)) <= REACH_M:
        raise InputError(f"a camera at {x}, {y}, {z} m", where=str(path), right=f"within {REACH_M:g} m")
    return place
