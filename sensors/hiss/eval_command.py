"""``knuckle eval hiss``: models on recordings, beside each other on the same ones."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from knuckle.sensors.hiss.evaluate import TrialScore
    from knuckle.sensors.hiss.model_files import SensorModel
    from knuckle.sensors.hiss.trial import Trial


@dataclass(frozen=True)
class EvalHiss:
    """Score sensor models on recordings; intervals are bootstrapped over trials (or blocks of 20 s of few ones)."""

    task: str = setting("velocity", "velocity, orientation, skin, or table: that of the model")
    data: str = setting("", "folder of the recordings; the task's in KNUCKLE_DATA if empty")
    model: str = setting("", "folders of runs or models with + between, the first is judged; the task's own if empty")
    part: str = setting("unseen", "unseen: trials that the first model's training never saw; or validation, test, all")
    linear_s: float = setting(
        0.0,
        "window of a linear rival that is fitted on the training part of --data, 0: none",
        low=0.0,
        high=60.0,
        unit="s",
    )
    seed: int = setting(0, "seed of the bootstrap", low=0, high=2**31 - 1)
    json: str = setting("", "file to write the figures to")
    plots: str = setting("", "folder to draw the first trials to, a file each")


def eval_hiss(argv: list[str]) -> int:
    """Run ``knuckle eval hiss``. Raises InputError for a model or folder that cannot be used."""
    config = parse_arguments(EvalHiss, argv, "knuckle eval hiss")
    import numpy as np
    import torch

    from knuckle.core.figures import Figures, require_writable
    from knuckle.sensors.hiss.bootstrap import intervals, units_of
    from knuckle.sensors.hiss.evaluate import choose, figures_of, score
    from knuckle.sensors.hiss.splits import divide
    from knuckle.sensors.hiss.tasks import task_of
    from knuckle.sensors.hiss.train_command import data_folder

    torch.set_num_threads(1)
    if config.json:
        require_writable(Path(config.json))
    if config.task == "orientation":
        return _orientation(config, argv)
    models = _models(config)
    names = list(models)
    first = models[names[0]]
    task = task_of(first.card.training.task, where="--model")
    source = data_folder(config.data, task.name)
    everything = task.load(source)
    trials = choose(everything, config.part, task.split, first.card.seen, where=str(source))
    scores = {name: score(model, trials) for name, model in models.items()}
    figures = figures_of(scores[names[0]], first)
    squared = [[s.squared for s in scores[name]] for name in names]
    if config.linear_s:
        squared.append(_linear(config, first, divide(everything, task.split, where=str(source)).train, trials))
    units = units_of(squared)
    bounds, ratios = intervals(units, np.random.default_rng(config.seed))
    spans = {"mse": (float(bounds[0, 0]), float(bounds[0, 1]))}
    for k, name in enumerate(names[1:], start=1):
        other = figures_of(scores[name], models[name])["mse"]
        figures |= {f"mse_{_slug(name)}": other, f"mse_ratio_to_{_slug(name)}": figures["mse"] / other}
        spans[f"mse_{_slug(name)}"] = (float(bounds[k, 0]), float(bounds[k, 1]))
        spans[f"mse_ratio_to_{_slug(name)}"] = (float(ratios[k, 0]), float(ratios[k, 1]))
    _print(models, scores, bounds[: len(names)].tolist(), ratios[: len(names)].tolist(), units.kind)
    if config.linear_s:
        figures["mse_linear"] = float(np.concatenate(squared[-1]).mean())
        figures["mse_ratio_to_linear"] = figures["mse"] / figures["mse_linear"]
        spans["mse_linear"] = (float(bounds[-1, 0]), float(bounds[-1, 1]))
        spans["mse_ratio_to_linear"] = (float(ratios[-1, 0]), float(ratios[-1, 1]))
        low, high = spans["mse_ratio_to_linear"]
        sys.stdout.write(
            f"linear, window of {config.linear_s:g} s: MSE {figures['mse_linear']:.5g}; "
            f"first / this {figures['mse_ratio_to_linear']:.3f} [{low:.3f}, {high:.3f}]\n"
        )
    if config.json:
        command = ["knuckle", "eval", "hiss", *argv]
        known = {name: span for name, span in spans.items() if span[0] == span[0]}
        Figures(command, asdict(config), config.seed, len(trials), figures, known).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    if config.plots:
        _draw(Path(config.plots), first, scores[names[0]])
    return 0


def _linear(
    config: EvalHiss, model: SensorModel, training: Sequence[Trial], trials: Sequence[Trial]
) -> list[NDArray[np.float64]]:
    """Squared errors of the linear rival on each of ``trials``, with the model's preprocessing."""
    from knuckle.sensors.hiss.linear_rival import fit_linear, linear_errors

    features, rate_hz = model.card.training.features, model.card.channels.rate_hz
    return linear_errors(fit_linear(training, features, rate_hz, config.linear_s), trials, features, rate_hz)


def _orientation(config: EvalHiss, argv: list[str]) -> int:
    """The orientation task: figures by BROAD's protocol, full rate, movement samples only."""
    from rich.console import Console
    from rich.table import Table

    from knuckle.core.figures import Figures
    from knuckle.sensors.hiss.orientation_eval import METHODS, figures_of, interval, score_folder
    from knuckle.sensors.hiss.train_command import data_folder

    model = next(iter(_models(config).values()))
    source = data_folder(config.data, "orientation")
    if config.part not in ("unseen", "all"):
        raise InputError(f"the part {config.part}", where="--part", right="unseen or all for the orientation task")
    scores = score_folder(model, source, unseen=config.part == "unseen")
    figures, spans = figures_of(scores), {}
    for rival in ("vqf", "hard_iron"):
        for group in ("disturbed", "undisturbed"):
            name = f"rmse_total_ratio_to_{rival}_{group}"
            spans[name] = interval(scores, rival, disturbed=group == "disturbed", seed=config.seed)
    console, table = Console(), Table("trial", *(f"{m} total / heading / incl., deg" for m in METHODS), box=None)
    for one in scores:
        cells = [one.rmse[m] for m in METHODS]
        table.add_row(one.name, *(f"{c.total_deg:.2f} / {c.heading_deg:.2f} / {c.inclination_deg:.2f}" for c in cells))
    console.print(table)
    for name, value in figures.items():
        if "ratio" in name:
            low, high = spans.get(name, (float("nan"),) * 2)
            console.print(
                f"{name} {value:.3f}" + (f" [{low:.3f}, {high:.3f}]" if name in spans else ""), soft_wrap=True
            )
    if config.json:
        command = ["knuckle", "eval", "hiss", *argv]
        finite = {name: span for name, span in spans.items() if span[0] == span[0]}
        Figures(command, asdict(config), config.seed, len(scores), figures, finite).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def _models(config: EvalHiss) -> dict[str, SensorModel]:
    """The models by what they are called: InputError where one is of another task."""
    from knuckle.sensors.hiss.model_card import model_folder
    from knuckle.sensors.hiss.model_files import load_model

    found: dict[str, SensorModel] = {}
    for name in (config.model or config.task).split("+"):
        folder = model_folder(name)
        model = load_model(folder)
        task = model.card.training.task["name"]
        if task != config.task:
            raise InputError(f"the model is for the task {task}", where=str(folder), right=f"--task {task}")
        if found and model.card.channels != next(iter(found.values())).card.channels:
            raise InputError("the model has other channels than the first", where=str(folder), right="the same ones")
        found[name] = model
    return found


def _print(
    models: dict[str, SensorModel],
    scores: dict[str, list[TrialScore]],
    bounds: list[list[float]],
    ratios: list[list[float]],
    kind: str,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from knuckle.sensors.hiss.evaluate import figures_of

    console = Console()
    table = Table("model", "run", "MSE", "95%", "first / this", "50% cov.", "90% cov.", "look ahead", box=None)
    for (name, model), bound, ratio in zip(models.items(), bounds, ratios, strict=True):
        card, found = model.card, figures_of(scores[name], model)
        ahead = 1000.0 * card.training.look_ahead / card.channels.rate_hz
        table.add_row(
            card.training.model,
            Path(name).name,
            f"{found['mse']:.5g}",
            f"{bound[0]:.4g} to {bound[1]:.4g}",
            f"{ratio[0]:.3f} to {ratio[1]:.3f}",
            f"{found['coverage_50']:.0%}",
            f"{found['coverage_90']:.0%}",
            f"{ahead:.0f} ms",
        )
    console.print(table)
    first = next(iter(scores.values()))
    if len(first) <= 40:
        each = Table("trial", "group", *(f"MSE {m.card.training.model}" for m in models.values()), box=None)
        for k, trial in enumerate(first):
            each.add_row(trial.name, trial.group, *(f"{scores[name][k].mse:.5g}" for name in models))
        console.print(each)
    console.print(f"{len(first)} trials; intervals over {kind}", soft_wrap=True)


def _draw(folder: Path, model: SensorModel, scores: list[TrialScore]) -> None:
    import numpy as np

    from knuckle.core.figures import write_text
    from knuckle.sensors.hiss.trace_plot import trace_plot
    from knuckle.sensors.hiss.trial import CHUNK

    names = [entry.name for entry in model.card.channels.targets]
    for trial in scores[:5]:
        k = slice(0, 300)
        times = np.arange(len(trial.mean[k])) * CHUNK / model.card.channels.rate_hz
        picture = trace_plot(trial.name, names, times, trial.mean[k], trial.deviation[k], trial.targets[k])
        write_text(folder / f"{_slug(trial.name)}.svg", picture)
    sys.stdout.write(f"plots written to {folder}\n")


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in Path(name).name).strip("_").lower()
