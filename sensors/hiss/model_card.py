"""The card of a sensor model: all that must be the same where it was trained and where it runs. It needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from knuckle.core import cards
from knuckle.core.cards import Card
from knuckle.core.errors import InputError
from knuckle.sensors.hiss import normaliser
from knuckle.sensors.hiss.choice import Choice, choice_of
from knuckle.sensors.hiss.normaliser import Normaliser
from knuckle.sensors.hiss.spread import Spread
from knuckle.sensors.hiss.train_config import Training, training_of
from knuckle.sensors.hiss.trial import Channels

CARD, WEIGHTS = "card.json", "weights.safetensors"
PROGRAM, STAGGERED = "stream.safetensors", "stream-staggered.safetensors"
"""The model as programs of the streaming engine."""
LOW, HIGH = "low.onnx", "high.onnx"
"""The model for other runtimes: a step of each level."""
KIND = "sensor model, chunks of 10"


@dataclass(frozen=True)
class SensorCard:
    """A card as it is used: ``seen`` are the names of the trials that training or its early stopping looked at.

    ``choice`` says among which inputs the estimate lies, if among any.
    """

    card: Card
    training: Training
    channels: Channels
    inputs: Normaliser
    targets: Normaliser
    spread: Spread
    seen: frozenset[str]
    choice: Choice | None

    @property
    def flat(self) -> bool:
        """Whether there is one level only."""
        return self.training.model.startswith("flat:")


def read_card(folder: Path) -> SensorCard:
    """The card in ``folder``, the sha256 of its weights checked.

    InputError in one line where a file is missing, altered, broken or of something else.
    """
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"no {name} in it", where=str(folder), right="the folder of a trained sensor model")
    card = cards.load(folder / CARD, weights=folder / WEIGHTS)
    where = str(folder / CARD)
    if card.config.get("kind") != KIND:
        raise InputError(f"the card is of '{card.config.get('kind')}'", where=where, right=KIND)
    training = training_of(card.config.get("training", {}), where=where)
    width = training.features.width(len(card.observations))
    try:
        temperature, growth = float(card.config["temperature"]), card.config.get("growth")
        spread = Spread(temperature, math.inf if growth is None else float(growth))
        seen = frozenset(str(name) for name in card.config["seen"])
        candidates = tuple(str(name) for name in card.config.get("candidates", ()))
        facts = card.normaliser["input"], card.normaliser["target"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the card is incomplete ({error})", where=where, right="a card of this version") from error
    if not 0.0 < temperature < 1e6:
        raise InputError(f"a temperature of {temperature:g}", where=where, right="a number above 0")
    if not spread.growth > 0.0:
        raise InputError(f"a growth of {spread.growth:g}", where=where, right="a number above 0, or null")
    channels = Channels(card.observations, card.actions, card.rate_hz)
    inputs = normaliser.from_card(facts[0], width, where=where)
    targets = normaliser.from_card(facts[1], len(card.actions), where=where)
    return SensorCard(
        card=card,
        training=training,
        channels=channels,
        inputs=inputs,
        targets=targets,
        spread=spread,
        seen=seen,
        choice=choice_of(candidates, channels, inputs, targets, where=where),
    )


def require_exported(folder: Path, card: SensorCard, name: str) -> Path:
    """The exported file ``name`` in ``folder``; InputError where it is missing or not the card's."""
    path, wanted = folder / name, card.card.config.get("exported", {})
    if not path.is_file() or name not in wanted:
        right = "a model that was exported: knuckle train hiss does it at its end"
        raise InputError(f"no {name} in it", where=str(folder), right=right)
    if cards.file_sha256(path) != wanted[name]:
        raise InputError("the file does not match the card's sha256", where=str(path), right="fetch both anew")
    return path


def model_folder(name: str, *, where: str = "--model") -> Path:
    """The folder of a model: a folder with a card, a run's folder, or one of those that come with knuckle."""
    path = Path(name)
    if path.name == CARD:
        path = path.parent
    for folder in (path / "model", path, TRAINED / name):
        if name and (folder / CARD).is_file():
            return folder
    names = trained_names()
    near = get_close_matches(path.name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    known = ", ".join(names) or "none comes with this version"
    raise InputError(f"no model '{name}'", where=where, right=f"{hint}the folder of a run or a model, or of: {known}")


TRAINED = Path(__file__).resolve().parent.parent / "trained"
"""A folder for each model that comes with knuckle."""


def trained_names() -> tuple[str, ...]:
    """The models that come with knuckle."""
    return tuple(sorted(card.parent.name for card in TRAINED.glob(f"*/{CARD}")))
