"""``knuckle eval forecast``: trained forecasters on tracks, or heads compared on shares of the data."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting
from knuckle.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from knuckle.motion.learned.heads import Forecasts
    from knuckle.motion.learned.study import Case
    from knuckle.motion.tracks.windows import WindowConfig, Windows

PANELS = 6
COLUMNS = (
    "nats a step",
    "95%",
    "minADE m",
    "minFDE m",
    "missed 2 m",
    "in 50%",
    "in 90%",
    "infeasible",
)


@dataclass(frozen=True)
class EvalForecast:
    """Score forecasters on sequences that they did not learn from; intervals are over tracks, and seeds where any."""

    data: str = setting("simulated", "simulated, or a folder of KITTI's tracking data or Argoverse 2 scenarios")
    models: str = setting("traffic+closed", "runs, folders or names with + between; closed is the closed form")
    shares: str = setting("", "learn here instead, on these shares of the data: 0.01+0.05+0.1+1")
    heads: str = setting("acceleration+bicycle+learned+deterministic", "with --shares: heads, with + between")
    encoder: str = setting("mlp", "with --shares: what reads the history", choices=("gru", "mlp"))
    seeds: int = setting(3, "with --shares: draws of the data and of the weights", low=1, high=1000)
    test: str = setting("", "sequences to test on; all where empty, every fourth with --shares")
    validation: str = setting("", "with --shares: sequences that say when it is enough; every fifth of the rest")
    vehicles: int = setting(100, "vehicles, where they are simulated", low=20, high=1_000_000)
    set: str = setting("", "with --shares: settings that differ, as of knuckle train forecast")
    seed: int = setting(0, "seed of the first draw, and of the bootstrap", low=0, high=2**31 - 1)
    json: str = setting("", "file to write the figures to")
    plot: str = setting("", "SVG file to draw the first model's forecasts to")


def eval_forecast(argv: list[str]) -> int:
    """Run ``knuckle eval forecast``. Raises InputError for data, models or names that cannot be used."""
    config = parse_arguments(EvalForecast, argv, "knuckle eval forecast")
    from rich.console import Console

    from knuckle.core.figures import Figures, require_writable

    for path in (config.json, config.plot):
        if path:
            require_writable(Path(path))
    console = Console(width=max(120, Console().width), highlight=False)
    figures, spans, n = _study(config, console) if config.shares else _models(config, console)
    if config.json:
        command = ["knuckle", "eval", "forecast", *argv]
        Figures(command, asdict(config), config.seed, n, figures, spans).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


Found = tuple[dict[str, float], dict[str, tuple[float, float]], int]


def _models(config: EvalForecast, console: Console) -> Found:
    """Trained models beside each other on all windows, or on those of --test."""
    import numpy as np
    import torch
    from rich.table import Table

    from knuckle.motion.learned.model_eval import score_models, window_config
    from knuckle.motion.learned.overhead import cpu_ms
    from knuckle.motion.learned.part_windows import sequences
    from knuckle.motion.learned.scores import interval

    torch.set_num_threads(1)
    models = [name for name in config.models.split("+") if name]
    windows = _windows(config, window_config(models))
    if config.test:
        windows = windows.of_sequences(sequences(config.test, windows.sequences, "--test"))
    scores, forecasts, nets = score_models(models, windows, config.seed)
    costs = cpu_ms(nets)
    figures: dict[str, float] = {}
    spans: dict[str, tuple[float, float]] = {}
    table = Table("model", *COLUMNS, "CPU ms, 20 tracks", box=None)
    for name, found in scores.items():
        key, mean = _slug(name), found.means()
        figures |= {f"{figure}_{key}": value for figure, value in mean.items()}
        for figure in ("nll", "min_fde_m", "coverage_50", "coverage_90"):
            rng = np.random.default_rng(config.seed)
            spans[f"{figure}_{key}"] = interval(found.values[figure][None], windows.track, rng)
        if name in costs:
            figures[f"cpu_20_tracks_ms_{key}"] = costs[name]
        if name != models[0]:
            gain = found.values["nll"] - scores[models[0]].values["nll"]
            figures[f"nll_gain_over_{key}"] = float(gain.mean())
            spans[f"nll_gain_over_{key}"] = interval(gain[None], windows.track, np.random.default_rng(config.seed))
        cost = f"{costs[name]:.2f}" if name in costs else ""
        table.add_row(name, *_cells(mean, spans[f"nll_{key}"]), cost)
    console.print(table)
    console.print(f"{len(windows)} windows of {len(set(windows.track.tolist()))} tracks; intervals over tracks")
    if config.plot:
        _draw(config, windows, forecasts[models[0]], models[0])
    return figures, spans, len(windows)


def _study(config: EvalForecast, console: Console) -> Found:
    """Heads learned on shares of the data, paired over seeds and tracks."""
    import torch

    from knuckle.motion.learned.network import make_net
    from knuckle.motion.learned.overhead import cpu_ms
    from knuckle.motion.learned.part_windows import divide, every_fourth
    from knuckle.motion.learned.scores import NAMES
    from knuckle.motion.learned.settings import LEARNED
    from knuckle.motion.learned.study import compare, net_of
    from knuckle.motion.learned.train_command import training_for

    torch.set_num_threads(1)
    heads = [name for name in config.heads.split("+") if name]
    shares = _shares(config.shares)
    training = training_for(heads[0] if heads else "", config.encoder, config.set, config.seed)
    for name in heads:
        net_of(name, config.encoder, training.net.width)
    windows = _windows(config, training.windows)
    parts = divide(windows, config.test or every_fourth(windows.sequences), config.validation)

    def told(case: Case) -> None:
        means = {name: case.mean(name) for name in NAMES}
        console.print(
            f"{case.share:7.2%} ({case.windows} windows)  {case.head:22}  {means['nll']:.3f} nats a step, minFDE "
            f"{means['min_fde_m']:.2f} m, in 90% {means['coverage_90']:.0%}, {case.cpu_s:.1f} CPU-s"
        )

    seeds = list(range(config.seed, config.seed + config.seeds))
    cases = compare(heads, config.encoder, shares, seeds, training, parts, told)
    figures, spans, table = _tabulate(cases, parts[2], config.seed)
    console.print(table)
    rows, steps = windows.history.shape[1], windows.future.shape[1]
    nets = {n: make_net(net_of(n, config.encoder, training.net.width), rows, steps, windows.dt_s, 0) for n in heads}
    costs = cpu_ms(nets)
    for name, cost in costs.items():
        figures[f"cpu_20_tracks_ms_{_slug(name)}"] = cost
        if LEARNED in costs:
            figures[f"overhead_{_slug(name)}"] = cost / costs[LEARNED] - 1
    console.print("CPU ms for 20 tracks: " + ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items()))
    figures["cpu_learning_s"] = sum(case.cpu_s for case in cases)
    console.print(
        f"{len(parts[0])} windows to learn from, {len(parts[1])} to validate on, {len(parts[2])} of "
        f"{len(set(parts[2].track.tolist()))} tracks to test on; {figures['cpu_learning_s']:.0f} CPU-seconds",
        soft_wrap=True,
    )
    return figures, spans, len(parts[2])


def _tabulate(
    cases: list[Case], test: Windows, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]], Table]:
    """Figures, intervals and the table of a study."""
    import numpy as np
    from rich.table import Table

    from knuckle.motion.learned.scores import NAMES, interval
    from knuckle.motion.learned.study import gains

    figures: dict[str, float] = {}
    spans: dict[str, tuple[float, float]] = {}
    over = gains(cases, test.track, seed)
    table = Table(*("share", "head", *COLUMNS, "gain over learned", "95%", "minFDE less learned's, m", "95%"), box=None)
    for case in cases:
        key = f"{_slug(case.head)}_{_slug(f'{case.share:g}')}"
        means = {name: case.mean(name) for name in NAMES}
        figures |= {f"{name}_{key}": value for name, value in means.items()}
        for name in ("nll", "min_fde_m", "coverage_50", "coverage_90"):
            spans[f"{name}_{key}"] = interval(case.values[name], test.track, np.random.default_rng(seed))
        cells = ["", "", "", ""]
        gain = over.get((case.head, case.share))
        if gain is not None:
            figures |= {f"nll_gain_{key}": gain.nll, f"min_fde_change_m_{key}": gain.fde_m}
            spans |= {f"nll_gain_{key}": gain.nll_bounds, f"min_fde_change_m_{key}": gain.fde_bounds_m}
            cells = [f"{gain.nll:+.3f}", _span(gain.nll_bounds), f"{gain.fde_m:+.2f}", _span(gain.fde_bounds_m)]
        table.add_row(f"{case.share:.0%}", case.head, *_cells(means, spans[f"nll_{key}"]), *cells)
    return figures, spans, table


def _windows(config: EvalForecast, shape: WindowConfig) -> Windows:
    from knuckle.motion.tracks.track_source import read_tracks
    from knuckle.motion.tracks.windows import cut_windows

    return cut_windows(read_tracks(config.data, config.seed + 900_000, config.vehicles), shape)


def _shares(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split("+") if part]
    except ValueError as error:
        raise InputError(str(error), where="--shares", right="0.01+0.05+0.1+1") from error
    if not shares or not all(1e-4 <= share <= 1.0 for share in shares):
        raise InputError(f"'{text}'", where="--shares", right="shares from 0.0001 to 1, with + between")
    return shares


def _cells(mean: dict[str, float], span: tuple[float, float]) -> list[str]:
    return [
        f"{mean['nll']:.3f}",
        _span(span),
        f"{mean['min_ade_m']:.2f}",
        f"{mean['min_fde_m']:.2f}",
        f"{mean['miss_2m']:.0%}",
        f"{mean['coverage_50']:.0%}",
        f"{mean['coverage_90']:.0%}",
        f"{mean['infeasible']:.1%}",
    ]


def _span(span: tuple[float, float]) -> str:
    return f"{span[0]:.2f} to {span[1]:.2f}"


def _draw(config: EvalForecast, windows: Windows, forecasts: Forecasts, name: str) -> None:
    import numpy as np
    import torch

    from knuckle.core.figures import write_text
    from knuckle.motion.learned.agent_frame import read_agents
    from knuckle.motion.learned.ellipse_plot import ellipse_plot
    from knuckle.motion.learned.heads import Forecasts as Some
    from knuckle.motion.mixture import Mixture

    chosen = np.unique(np.linspace(0, len(windows) - 1, PANELS).astype(np.int64))
    agents, _ = read_agents(windows.history, windows.dt_s)
    rows, made = torch.from_numpy(chosen), forecasts.mixture
    some = Some(Mixture(made.log_weights[rows], made.mean[rows], made.covariance[rows]), forecasts.motions[rows])
    history, future = agents.into(windows.history)[chosen], agents.into(windows.future)[chosen]
    names = [windows.names[k] for k in windows.track[chosen]]
    write_text(Path(config.plot), ellipse_plot(Path(name).name, history, future, some, names))
    sys.stdout.write(f"plot written to {config.plot}\n")


def _slug(name: str) -> str:
    text = name if name.replace(".", "").isdigit() else Path(name).name
    return "".join(c if c.isalnum() else ("p" if c == "." else "_") for c in text).strip("_").lower()
