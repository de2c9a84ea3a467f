"""The objects: six families of non-convex things built from convex primitives, four to train on and two kept back.

Sizes and masses span those of Visual Dexterity's printed objects: longest side 0.095 to 0.165 m, 50 to 244 g.
`asymmetry.py` proves that none looks like itself after a turn. Every object has at most `PARTS` primitives and the
scene pads to exactly that many, so that all scenes of one hand have one size signature and can be mixed in a batch.
"""

from __future__ import annotations

from functools import cache

from knuckle.core.errors import unknown_name
from knuckle.hardware.spec.object_shape import ObjectShape
from knuckle.sim.object_families.animals import ANIMALS
from knuckle.sim.object_families.furniture import FURNITURE
from knuckle.sim.object_families.kitchen import KITCHEN
from knuckle.sim.object_families.letters import LETTERS
from knuckle.sim.object_families.solids import Family
from knuckle.sim.object_families.tools import TOOLS
from knuckle.sim.object_families.vehicles import VEHICLES

PARTS = 6

_TRAIN: dict[str, Family] = {"letters": LETTERS, "tools": TOOLS, "animals": ANIMALS, "vehicles": VEHICLES}
_NOVEL: dict[str, Family] = {"kitchen": KITCHEN, "furniture": FURNITURE}

FAMILIES: dict[str, tuple[str, ...]] = {family: tuple(members) for family, members in (_TRAIN | _NOVEL).items()}
"""Family to its objects. A family is wholly for training or wholly novel."""

TRAIN_FAMILIES = tuple(_TRAIN)
NOVEL_FAMILIES = tuple(_NOVEL)
TRAIN: tuple[str, ...] = tuple(name for family in TRAIN_FAMILIES for name in FAMILIES[family])
"""What may be trained on and tuned with."""
NOVEL: tuple[str, ...] = tuple(name for family in NOVEL_FAMILIES for name in FAMILIES[family])
"""What is judged only: no controller may be tuned with it."""

OBJECTS: Family = {name: make for family in (_TRAIN | _NOVEL).values() for name, make in family.items()}
"""Every object: its name to what builds it."""


@cache
def _built(name: str) -> ObjectShape:
    return OBJECTS[name]()


def object_shape(name: str, *, where: str = "") -> ObjectShape:
    """The object called ``name``, built once; InputError lists the known ones."""
    if name not in OBJECTS:
        raise unknown_name("object", name, OBJECTS, where=where)
    return _built(name)


def object_names(selection: str, *, where: str = "") -> tuple[str, ...]:
    """The objects that ``selection`` means: ``train``, ``novel``, ``all``, a family or one object.

    InputError lists everything it could be.
    """
    groups = {"train": TRAIN, "novel": NOVEL, "all": TRAIN + NOVEL} | FAMILIES
    if selection in groups:
        return groups[selection]
    if selection in OBJECTS:
        return (selection,)
    raise unknown_name("object or family", selection, [*groups, *OBJECTS], where=where)


def family_of(name: str, *, where: str = "") -> str:
    """The family of the object called ``name``; InputError lists the known objects."""
    if name not in OBJECTS:
        raise unknown_name("object", name, OBJECTS, where=where)
    return next(family for family, members in FAMILIES.items() if name in members)
