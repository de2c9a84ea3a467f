"""A model's weights beside its card: written whole, loaded only where names, shapes and numbers are right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from knuckle.core import cards
from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.cards import Card
from knuckle.core.errors import InputError
from knuckle.sensors.hiss import gaussian_factors
from knuckle.sensors.hiss.chooser import Chooser, plain
from knuckle.sensors.hiss.export import export
from knuckle.sensors.hiss.model import Flat, Hiss, build, parameters_of
from knuckle.sensors.hiss.model_card import CARD, KIND, WEIGHTS, SensorCard, read_card
from knuckle.sensors.hiss.model_name import model_name
from knuckle.sensors.hiss.splits import Parts
from knuckle.sensors.hiss.spread import Spread
from knuckle.sensors.hiss.tasks import Task
from knuckle.sensors.hiss.trainer import Trainer


@dataclass(frozen=True)
class SensorModel:
    """A card and its network, ready to run over features."""

    card: SensorCard
    network: Hiss | Flat | Chooser


def save_model(
    folder: Path,
    trainer: Trainer,
    task: Task,
    parts: Parts,
    spread: Spread,
    scores: Mapping[str, Mapping[str, float]],
) -> Card:
    """Write weights and card of the trainer's model, the card last: it vouches for the rest."""
    arrays = {name: value.detach().numpy() for name, value in plain(trainer.model).state_dict().items()}
    write_arrays(folder / WEIGHTS, arrays, {"model": trainer.training.model}, what="the model")
    exported, parity, problem = dict[str, str](), dict[str, float](), ""
    try:
        exported, parity = export(folder, plain(trainer.model), trainer.validation[0].features)
    except InputError as error:  # layers that the engine does not know: the model is there all the same
        problem = str(error)
    card = Card(
        name=f"{task.name} {trainer.training.model}",
        config={
            "kind": KIND,
            "training": trainer.training.facts(),
            "candidates": list(trainer.candidates),
            "temperature": spread.temperature,
            "growth": spread.growth if math.isfinite(spread.growth) else None,
            "exported": exported,
            "parity": parity,
            "not_exported": problem,
            "parameters": parameters_of(trainer.model),
            "seen": sorted({trial.name for trial in (*trainer.trials, *parts.validation)}),
            "epochs": trainer.epoch,
            "best_epoch": trainer.best_epoch,
            "cpu_hours": round(trainer.cpu_s / 3600, 4),
            "versions": {name: version(name) for name in ("knuckle", "torch")},
        },
        observations=task.channels.inputs,
        actions=task.channels.targets,
        rate_hz=task.channels.rate_hz,
        data=task.data,
        licence=task.licence,
        normaliser={"input": trainer.inputs.facts(), "target": trainer.targets.facts()},
        scores={protocol: dict(figures) for protocol, figures in scores.items()},
        sha256=cards.file_sha256(folder / WEIGHTS),
    )
    cards.save(card, folder / CARD)
    return card


def load_model(folder: Path) -> SensorModel:
    """The model in ``folder``; InputError where the weights are altered, not finite, or of another model or shape."""
    card = read_card(folder)
    where = str(folder / WEIGHTS)
    arrays, _ = read_arrays(folder / WEIGHTS, what="the model", right="the weights that the card is of")
    choice = card.choice
    outputs = gaussian_factors.outputs_of(len(card.channels.targets)) if choice is None else choice.outputs
    width = card.training.features.width(len(card.channels.inputs))
    network = build(width, outputs, model_name(card.training.model), card.training.sizes)
    wanted = network.state_dict()
    odd = sorted(set(arrays) ^ set(wanted))
    if odd:
        what = f"the weights are of another model: {', '.join(odd[:3])}"
        raise InputError(what, where=where, right=f"those of {card.training.model}")
    for name, value in wanted.items():
        if tuple(value.shape) != arrays[name].shape:
            what = f"'{name}' has shape {arrays[name].shape}"
            raise InputError(what, where=where, right=f"{tuple(value.shape)}, as the card's sizes say")
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
    network.eval()
    return SensorModel(card, network if choice is None else Chooser(network, choice))
