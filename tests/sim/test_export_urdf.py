"""Objects and hands as URDF files: MuJoCo, which reads URDF, finds the body that our own scenes have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knuckle import cli
from knuckle.core import rotations
from knuckle.hardware.spec.hands import HANDS, hand_spec
from knuckle.hardware.spec.urdf import object_urdf, urdf
from knuckle.sim.engine import mujoco
from knuckle.sim.export_command import export_urdf
from knuckle.sim.objects import FAMILIES, OBJECTS, object_shape
from knuckle.sim.scene import execution_scene

HAND = hand_spec("dclaw3")
KINDS = {
    mujoco.mjtGeom.mjGEOM_SPHERE.value: "sphere",
    mujoco.mjtGeom.mjGEOM_CYLINDER.value: "cylinder",
    mujoco.mjtGeom.mjGEOM_BOX.value: "box",
}


def load(text: str) -> mujoco.MjModel:
    """The URDF compiled; its root link stays a body of its own."""
    kept = '<mujoco><compiler fusestatic="false"/></mujoco></robot>'
    return mujoco.MjModel.from_xml_string(text.replace("</robot>", kept))


def inertia(model: mujoco.MjModel, body: str) -> np.ndarray:
    """Inertia (3, 3) about the centre of mass, in the body's axes."""
    turn = rotations.to_matrix(model.body(body).iquat)
    return np.asarray(turn @ np.diag(model.body(body).inertia) @ turn.T)


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_object_weighs_and_turns_as_it_does_in_our_scenes(name: str) -> None:
    there, here = load(object_urdf(object_shape(name))), execution_scene(HAND, name).model
    assert there.body("object").mass[0] == pytest.approx(here.body("object").mass[0], rel=1e-6)
    np.testing.assert_allclose(there.body("object").ipos, here.body("object").ipos, atol=1e-9)
    ours = inertia(here, "object")
    np.testing.assert_allclose(inertia(there, "object"), ours, atol=1e-5 * np.abs(ours).max())


@pytest.mark.parametrize("name", sorted(OBJECTS))
def test_an_objects_solids_have_the_sizes_and_places_of_its_primitives(name: str) -> None:
    thing = object_shape(name)
    model = load(object_urdf(thing))
    solids = [
        (KINDS[int(model.geom_type[k])], model.geom_size[k], model.geom_pos[k], model.geom_quat[k])
        for k in range(model.ngeom)
    ]
    assert len(solids) == sum(3 if p.kind == "capsule" else 1 for p in thing.primitives)
    for p in thing.primitives:
        kind = "cylinder" if p.kind == "capsule" else p.kind
        assert any(
            kind == other
            and np.allclose(size[: len(p.size)], p.size, atol=1e-8)
            and np.allclose(place, p.position, atol=1e-8)
            and (kind == "sphere" or rotations.angle_between(turn, np.array(p.quaternion)) < 1e-6)
            for other, size, place, turn in solids
        ), p


def test_the_surface_of_a_capsule_is_kept() -> None:
    thing = object_shape("duck")
    model = load(object_urdf(thing))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    rng = np.random.default_rng(0)
    for aim in rng.standard_normal((50, 3)):
        way = aim / np.linalg.norm(aim)
        hit = mujoco.mj_ray(model, data, 0.5 * way, -way, None, 1, -1, np.zeros(1, np.int32))
        assert abs(float(thing.distance((0.5 - hit) * way))) < 1e-6


@pytest.mark.parametrize("name", sorted(HANDS))
def test_a_hands_links_weigh_and_turn_as_they_do_in_our_scenes(name: str) -> None:
    spec = hand_spec(name)
    there, here = load(urdf(spec)), execution_scene(spec, "duck").model
    for link in spec.links[1:]:
        assert there.body(link.name).mass[0] == pytest.approx(here.body(link.name).mass[0], rel=1e-6)
        ours = inertia(here, link.name)
        np.testing.assert_allclose(inertia(there, link.name), ours, atol=1e-5 * np.abs(ours).max())


def test_the_command_writes_one_file_for_each_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new"
    assert export_urdf(["dclaw3", "kitchen", "duck", "duck", "--out", str(folder)]) == 0
    wanted = sorted(f"{name}.urdf" for name in ("dclaw3", "duck", *FAMILIES["kitchen"]))
    assert sorted(path.name for path in folder.iterdir()) == wanted
    assert (folder / "duck.urdf").read_text() == object_urdf(object_shape("duck")) + "\n"
    assert len(capsys.readouterr().out.splitlines()) == len(wanted)


def test_all_is_every_hand_and_object(tmp_path: Path) -> None:
    assert export_urdf(["all", "--out", str(tmp_path)]) == 0
    assert {path.stem for path in tmp_path.iterdir()} == {*HANDS, *OBJECTS}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hamer"], "unknown hand or object 'hamer'; did you mean 'hammer'? known: all, "),
        (["dclaw5"], "unknown hand or object 'dclaw5'; did you mean 'dclaw"),
        ([], "nothing to export; names of hands or objects, or all"),
        (["duck", "hamer"], "unknown hand or object 'hamer'"),
    ],
)
def test_a_wrong_name_is_one_line_and_writes_nothing(
    words: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", "urdf", *words, "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("mine")
    assert cli.main(["export", "urdf", "duck", "--out", str(tmp_path / "taken")]) == 1
    told = capsys.readouterr().err
    assert "the URDF cannot be written" in told and told.count("\n") == 1
    assert (tmp_path / "taken").read_text() == "mine"
