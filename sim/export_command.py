"""`knuckle export urdf`: hands and objects as URDF files, for viewers, planners and other simulators."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from knuckle.core.arguments import parse_options
from knuckle.core.errors import InputError, RunError, unknown_name

WHERE = "knuckle export urdf"


@dataclass(frozen=True)
class ExportUrdf:
    """Write hands and objects as URDF, one file each: NAME.urdf."""

    names: Annotated[
        tuple[str, ...],
        arg(metavar="NAME...", help="hands, objects, families of objects, train, novel or all"),
        Positional,
    ] = ()
    out: str = "."
    """folder to write to; it is made where it is missing"""


def export_urdf(argv: list[str]) -> int:
    """Run the command; InputError for a name that is none, RunError where a file cannot be written."""
    config = parse_options(ExportUrdf, argv, WHERE)
    if not config.names:
        raise InputError("nothing to export", where=WHERE, right="names of hands or objects, or all")
    from knuckle.core.figures import write_text

    texts = {name: text for word in config.names for name, text in described(word).items()}
    folder = Path(config.out)
    for name, text in texts.items():
        path = folder / f"{name}.urdf"
        try:
            write_text(path, text + "\n")
        except OSError as error:
            what = f"the URDF cannot be written ({error.strerror})"
            raise RunError(what, where=str(path), right="--out with a folder of yours") from error
        print(path)
    return 0


def described(word: str) -> dict[str, str]:
    """URDF by name of everything that ``word`` means: a hand, an object, a family, train, novel, or all of it."""
    from knuckle.hardware.spec.hands import HANDS, hand_spec
    from knuckle.hardware.spec.urdf import object_urdf, urdf
    from knuckle.sim.objects import FAMILIES, OBJECTS, object_names, object_shape

    groups = ["all", "train", "novel", *FAMILIES]
    if word not in {*groups, *HANDS, *OBJECTS}:
        raise unknown_name("hand or object", word, [*groups, *HANDS, *OBJECTS], where=WHERE)
    hands = tuple(HANDS) if word == "all" else (word,) if word in HANDS else ()
    things = () if word in HANDS else object_names(word)
    return {name: urdf(hand_spec(name)) for name in hands} | {n: object_urdf(object_shape(n)) for n in things}
