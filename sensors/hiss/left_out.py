"""How wrong a model's covariance is on a kind of motion that it has not seen, without looking at the test part.

A temperature that is fitted on one left-out kind (the validation part) says nothing of another. So each group that
teaches is left out in turn: as many shorter trainings on the others, stopped by the same validation part, each judged
on the group that it never saw. What mends the covariance is then a spread (`spread.py`) that grows with the estimate as
those misses did, with the widest temperature that one of the groups needs: with K of them, a new kind that is drawn as
they were needs no wider one with probability K / (K + 1).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from rich.console import Console

from knuckle.sensors.hiss.pieces import whole
from knuckle.sensors.hiss.predict import outputs
from knuckle.sensors.hiss.run_folder import RunFolder
from knuckle.sensors.hiss.splits import Parts, groups_that_teach
from knuckle.sensors.hiss.spread import Misses, misses_of
from knuckle.sensors.hiss.tasks import Task
from knuckle.sensors.hiss.train_command import learn
from knuckle.sensors.hiss.train_config import Training
from knuckle.sensors.hiss.trainer import Trainer
from knuckle.sensors.hiss.trial import Trial

FOLDER = "left-out"
"""Where the runs of the shorter trainings are, within the run's folder."""


def misses(trainer: Trainer, trials: tuple[Trial, ...]) -> Misses:
    """How far off the trainer's model, as it is, is on the scored targets of ``trials``."""
    pieces = [whole(trial, trainer.read(trial), trainer.training.look_ahead) for trial in trials]
    raws = outputs(trainer.model, pieces)
    raw = np.concatenate([own[p.scored] for own, p in zip(raws, pieces, strict=True)])
    targets = np.concatenate([p.targets[p.scored] for p in pieces])
    return misses_of(raw, trainer.targets(targets))


def misses_left_out(
    training: Training, task: Task, parts: Parts, epochs: int, folder: RunFolder, console: Console
) -> dict[str, Misses]:
    """`misses` of each group of ``parts.train`` under a model of ``epochs`` epochs that was trained on the others.

    Each training has a run of its own below ``folder`` and goes on after a kill.
    """
    short = replace(training, learn=replace(training.learn, epochs=epochs, patience=epochs))
    found: dict[str, Misses] = {}
    for group in groups_that_teach(parts):
        rest = replace(parts, train=tuple(t for t in parts.train if t.group != group))
        trainer = Trainer(short, task.channels, rest, task.augment, task.candidates, task.prior)
        run = RunFolder(folder.path / FOLDER / group)
        if run.begun:
            run.require_same(short)
        else:
            run.begin(short)
        console.print(f"without {group}:", soft_wrap=True)
        learn(trainer, run, math.inf, console)
        trainer.restore_best()
        found[group] = misses(trainer, tuple(t for t in parts.train if t.group == group))
    return found
