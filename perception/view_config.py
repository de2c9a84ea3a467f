"""Which hand is seen, and from where: what every part of perception must agree on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self

from knuckle.core import rotations
from knuckle.core.config import setting
from knuckle.hardware.spec.contracts import Extrinsics
from knuckle.hardware.spec.extrinsics_file import load
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.mounts import camera_extrinsics


@dataclass(frozen=True)
class ViewConfig:
    """The hand that is seen, and where the camera's optical frame stands in hand_base (Visual Dexterity's D415).

    Left as it is for a hand whose palm faces up, the place means that of such a hand's camera: from the other one the
    back of the hand would be seen.
    """

    hand: str = setting("dclaw3", "hand whose links are labelled")
    camera_file: str = setting("", "file of `knuckle calibrate camera` that says where it stands, instead of these")
    camera_x: float = setting(0.573827, "camera in hand_base", low=-10.0, high=10.0, unit="m")
    camera_y: float = setting(0.0339394, "camera in hand_base", low=-10.0, high=10.0, unit="m")
    camera_z: float = setting(-0.0351936, "camera in hand_base", low=-10.0, high=10.0, unit="m")
    camera_qw: float = setting(0.594747, "camera's orientation, w", low=-1.0, high=1.0)
    camera_qx: float = setting(0.371878, "camera's orientation, x", low=-1.0, high=1.0)
    camera_qy: float = setting(-0.382269, "camera's orientation, y", low=-1.0, high=1.0)
    camera_qz: float = setting(-0.601543, "camera's orientation, z", low=-1.0, high=1.0)

    def resolved(self) -> Self:
        """Itself with the numbers of ``camera_file`` in place of it, so that a recording needs no file of then.

        InputError where the file is none, or of another hand.
        """
        if not self.camera_file:
            return self
        place = load(Path(self.camera_file), hand=self.hand)
        (x, y, z), (w, i, j, k) = place.position, place.quaternion
        return replace(
            self,
            camera_file="",
            camera_x=x,
            camera_y=y,
            camera_z=z,
            camera_qw=w,
            camera_qx=i,
            camera_qy=j,
            camera_qz=k,
        )

    def extrinsics(self) -> Extrinsics:
        """The camera's pose; InputError where the quaternion is not a unit one, or there is no such hand."""
        if self.camera_file:
            return self.resolved().extrinsics()
        hand = hand_spec(self.hand, where="hand")
        place = [getattr(self, field.name) for field in fields(ViewConfig) if field.name.startswith("camera_")]
        if hand.palm_up and place == [f.default for f in fields(ViewConfig) if f.name.startswith("camera_")]:
            return camera_extrinsics(hand)
        raw = (self.camera_qw, self.camera_qx, self.camera_qy, self.camera_qz)
        w, x, y, z = (float(v) for v in rotations.require_unit(raw, where="camera_qw ... camera_qz"))
        return Extrinsics((self.camera_x, self.camera_y, self.camera_z), (w, x, y, z))
