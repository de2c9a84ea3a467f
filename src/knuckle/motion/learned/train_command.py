"""``knuckle train forecast``: learns from tracks, goes on with a run that ended early, leaves a model for the bus."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import describe, parse_pairs, parse_text, setting, validate
from knuckle.core.errors import unknown_name

if TYPE_CHECKING:
    from rich.console import Console

    from knuckle.motion.learned.fit import Fit
    from knuckle.motion.learned.run_folder import RunFolder
    from knuckle.motion.learned.settings import Training

TOLD = ("data", "vehicles", "test", "validation")
KEPT_EVERY = 50
"""Updates between checkpoints."""


@dataclass(frozen=True)
class TrainForecast:
    """Learn where vehicles go. The same command goes on with a run that ended early."""

    data: str = setting("simulated", "simulated, or a folder of KITTI's tracking data or Argoverse 2 scenarios")
    run: str = setting("runs/forecast", "folder of the run; its model/ is what knuckle eval forecast takes")
    vehicles: int = setting(200, "vehicles, where they are simulated", low=20, high=1_000_000)
    head: str = setting(
        "bicycle", "velocity, acceleration, heading, bicycle, learned or deterministic, with :marginal for the paper's"
    )
    encoder: str = setting("mlp", "what reads the history", choices=("gru", "mlp"))
    test: str = setting("", "sequences that are left out, with + between")
    validation: str = setting("", "sequences that say when it is enough; every fifth where empty")
    minutes: float = setting(0.0, "CPU-minutes in all after which training pauses, 0: no bound", low=0.0, high=1e5)
    set: str = setting("", "settings that differ: updates=3000,width=64,data_share=0.05,future_s=5")
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)


def train_forecast(argv: list[str]) -> int:
    """Run ``knuckle train forecast``. Raises InputError for data, names or a folder that cannot be used."""
    config = parse_arguments(TrainForecast, argv, "knuckle train forecast")
    training = training_for(config.head, config.encoder, config.set, config.seed)
    from rich.console import Console

    from knuckle.motion.learned.part_windows import divide
    from knuckle.motion.learned.run_folder import RunFolder
    from knuckle.motion.tracks.track_source import read_tracks
    from knuckle.motion.tracks.windows import cut_windows

    console = Console(highlight=False)
    folder = RunFolder(Path(config.run))
    with console.status("reading tracks"):
        windows = cut_windows(read_tracks(config.data, config.seed, config.vehicles), training.windows)
        train, validation, _ = divide(windows, config.test, config.validation)
    folder.begin({name: getattr(config, name) for name in TOLD} | asdict(training))
    import torch

    from knuckle.motion.learned.fit import Fit

    torch.set_num_threads(1)
    fit = Fit(training, train, validation)
    console.print(
        f"{config.head} with {config.encoder}, {fit.net.parameters_count} numbers; {len(fit.examples)} windows to "
        f"learn from, {len(validation)} to validate on; run in {folder.path}",
        soft_wrap=True,
    )
    if not learn(fit, folder, config.minutes, console):
        console.print("training is not complete: the same command goes on with it")
        return 0
    _leave(fit, folder, config.data, console)
    return 0


def training_for(head: str, encoder: str, changes: str, seed: int) -> Training:
    """All settings of the run that the command's words ask for; ConfigError for one unknown or out of range."""
    from knuckle.motion.learned.settings import Training
    from knuckle.motion.learned.study import net_of

    training = replace(Training(), net=net_of(head, encoder, Training().net.width), seed=seed)
    parts = {"net": training.net, "learn": training.learn, "windows": training.windows}
    specs = {spec.name: (part, spec) for part, own in parts.items() for spec in describe(type(own))}
    for name, text in parse_pairs(changes, where="--set").items():
        if name not in specs:
            raise unknown_name("setting", name, specs, where="--set")
        part, spec = specs[name]
        value = parse_text(spec, text, where=f"--set {name}")
        training = replace(training, **{part: replace(getattr(training, part), **{name: value})})
    for part in parts:
        validate(getattr(training, part), where="--set")
    return training


def learn(fit: Fit, folder: RunFolder, minutes: float, console: Console) -> bool:
    """Train from the folder's checkpoint, if there is one, until it is over or ``minutes`` are; whether it is over."""
    from knuckle.motion.learned.run_folder import CHECKPOINT
    from knuckle.motion.learned.train_view import TrainView

    before = folder.checkpoint()
    if before is not None:
        fit.restore(*before, where=str(folder.path / CHECKPOINT))
        console.print(f"goes on after update {fit.updates}")
    rows = folder.history(fit.updates)
    with TrainView(console, f"forecast {fit.training.net.head}", fit.training.learn.updates, rows) as view:
        while not fit.over and (not minutes or fit.cpu_s < 60.0 * minutes):
            row = fit.update()
            view.show(row)
            if "validation_nll" in row:
                rows.append(row)
            if fit.updates % KEPT_EVERY == 0:
                folder.keep(fit.capture(), rows)
    folder.keep(fit.capture(), rows)
    return fit.over


def _leave(fit: Fit, folder: RunFolder, data: str, console: Console) -> None:
    from knuckle.motion.learned.fit import forecast_examples
    from knuckle.motion.learned.model_files import save_model
    from knuckle.motion.learned.run_folder import MODEL
    from knuckle.motion.learned.scores import score

    fit.restore_best()
    net = fit.net
    found = score(forecast_examples(net, fit.validation), fit.validation.future, net.head.dt_s, 0).means()
    source = "simulated traffic" if data == "simulated" else Path(data).name
    card = save_model(folder.path / MODEL, "forecast", fit, fit.validation, source, {"validation": found})
    console.print(
        f"validation {found['nll']:.3f} nats a step, minFDE {found['min_fde_m']:.2f} m, in its 90% region "
        f"{found['coverage_90']:.0%}, infeasible {found['infeasible']:.0%}; ONNX within "
        f"{card.config['onnx_parity']:.1e}; {fit.cpu_s:.0f} CPU-seconds; model in {folder.path / MODEL}",
        soft_wrap=True,
    )
