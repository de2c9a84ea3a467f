"""Perception of the simulated camera: the conventions of camera, mount and hand agree to the millimetre."""

from __future__ import annotations

import numpy as np
import pytest

from knuckle.core import rotations
from knuckle.hardware.spec.hands import hand_spec
from knuckle.hardware.spec.kinematics import base_to_world
from knuckle.hardware.spec.mounts import pinhole
from knuckle.perception.cloud import CloudBuilder
from knuckle.perception.labels import HAND, OBJECT, TABLE, Labeller


@pytest.mark.parametrize("object_name", ["hammer", "bunny"])
def test_what_the_simulated_camera_sees_lies_on_what_it_is_labelled_as(object_name: str) -> None:
    from knuckle.sim.depth import SimDepthCamera
    from knuckle.sim.objects import object_shape
    from knuckle.sim.world import SimWorld

    spec = hand_spec("dclaw3")
    world = SimWorld(spec, object_name, seed=4)
    camera = SimDepthCamera(world, source="rays", intrinsics=pinhole(200, 112))
    frame, state, truth = camera.render(), world.read(), world.object_truth()
    cloud = CloudBuilder(spec, camera.extrinsics).build(frame, state.q)
    points = cloud.points.astype(np.float64)
    in_world = base_to_world(spec, points)
    local = rotations.rotate(rotations.conjugate(truth.quaternion), in_world - truth.position)
    to_object = object_shape(object_name).distance(local)
    assert (cloud.label == OBJECT).sum() > 60
    # Voxels average, and z16 rounds to a millimetre.
    assert np.abs(to_object[cloud.label == OBJECT]).max() < 0.004
    assert np.abs(in_world[cloud.label == TABLE, 2]).max() < 0.005
    on_hand = cloud.label >= HAND
    assert on_hand.sum() > 150
    distance, _ = Labeller(spec, 0.05, 0.0).nearest_link(points, state.q)
    assert np.abs(distance[on_hand]).max() < 0.0041
    # And the other way: what lies on the object, clear of hand and table, is labelled so.
    clear = (np.abs(to_object) < 0.002) & (distance > 0.01) & (in_world[:, 2] > 0.01)
    assert clear.sum() > 40
    assert (cloud.label[clear] == OBJECT).all()
    camera.close()
