"""``knuckle eval tracker``: trackers compared on films that they were not trained on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import setting

if TYPE_CHECKING:
    from knuckle.perception.tracking.evaluation import Result
    from knuckle.perception.tracking.sequence import Sequence

RECIPE, POINTRCNN = "recipe", "pointrcnn"
CLASSES = {1: "car", 2: "pedestrian", 3: "cyclist"}


@dataclass(frozen=True)
class EvalTracker:
    """Compare trackers on the same detections. The data must be none that they were trained or tuned on."""

    data: str = setting("simulated", "folder of MOT sequences or KITTI's, or simulated, simulated-players and so on")
    models: str = setting(
        "last+cv+sort+bytetrack+ocsort+ridge+mtp+trackssm",
        "models, with + between; mtp-link is mtp with learned association",
    )
    weights: str = setting(
        "", "folder of weights and tuned settings, or several of other seeds with + between; shipped where empty"
    )
    films: str = setting("", "some films of the folder, with + between, or kitti-test; all where empty")
    frames: int = setting(0, "first frames of each film; all where 0", low=0, high=1_000_000)
    seeds: int = setting(5, "draws of detections", low=1, high=1000)
    seed: int = setting(0, "seed of the first draw", low=0, high=2**31 - 1)
    detections: str = setting(RECIPE, "whose: the recipe's, or PointRCNN's of KITTI", choices=(RECIPE, POINTRCNN))
    json: str = setting("", "file to write the figures to")
    plot: str = setting("", "SVG file to draw HOTA to")


def eval_tracker(argv: list[str]) -> int:
    """Run ``knuckle eval tracker``. Raises InputError for films, weights or names that cannot be used."""
    config = parse_arguments(EvalTracker, argv, "knuckle eval tracker")
    from rich.console import Console

    from knuckle.core.figures import Figures, require_writable, write_text
    from knuckle.perception.tracking.detection_recipe import digest as digest_of_detections
    from knuckle.perception.tracking.evaluation import compare_models, draw_detections, figure_name, figures_of
    from knuckle.perception.tracking.film_source import film_names, read_films
    from knuckle.perception.tracking.interval_plot import interval_plot
    from knuckle.perception.tracking.real_detections import pointrcnn_cars
    from knuckle.perception.tracking.rivals import rival
    from knuckle.perception.tracking.weights_folder import SHIPPED

    console = Console(width=max(120, Console().width))
    names = [name for name in config.models.split("+") if name]
    for name in names:
        rival(name)
    for path in (config.json, config.plot):
        if path:
            require_writable(Path(path))
    folders = [Path(name) for name in config.weights.split("+") if name] or [SHIPPED]
    chosen = choose(film_names(config.data, seed=900_000), config.films)
    films = read_films(config.data, chosen, config.frames)
    if config.detections == POINTRCNN:
        films, real = pointrcnn_cars(config.data, films)
        seen = [[one] for one in real]
        digest = digest_of_detections([frame for one in real for frame in one.frames])
    else:
        seen, digest = draw_detections(films, config.seeds, config.seed)
    with console.status("tracking") as status:
        tell: Callable[[str], None] = lambda name: status.update(f"tracking with {name}")  # noqa: E731
        own = _classes(films)
        results = compare_models(names, films, folders, seen, (None, *own), tell)
    figures, bounds = figures_of(results[None], config.seed)
    for label in own:
        more, their_bounds = figures_of(results[label], config.seed, f"_{CLASSES.get(label, label)}")
        figures, bounds = figures | more, bounds | their_bounds
    print_table(console, results[None], figures, bounds)
    for label in own:
        console.print(f"{CLASSES.get(label, label)}:")
        print_table(console, results[label], figures, bounds, f"_{CLASSES.get(label, label)}")
    console.print(
        f"{len(films)} films, {sum(film.frames for film in films)} frames, {len(seen[0])} draws of detections, "
        f"weights of {len(folders)} training{'s' if len(folders) > 1 else ''}, sha256 {digest}",
        soft_wrap=True,
        highlight=False,
    )
    if config.plot:
        keys = {name: f"hota_{figure_name(name)}" for name in names}
        rows = {name: (figures[key], *bounds[key]) for name, key in keys.items()}
        note = f"{len(films)} films, {len(seen[0])} draws of detections, sha256 {digest[:16]}; 95% intervals"
        write_text(Path(config.plot), interval_plot("HOTA", rows, note))
    if config.json:
        command = ["knuckle", "eval", "tracker", *argv]
        facts = asdict(config) | {"films": chosen, "detections_sha256": digest}
        n = sum(film.frames for film in films) * len(seen[0]) * len(folders)
        Figures(command, facts, config.seed, n, figures, bounds).write(Path(config.json))
        sys.stdout.write(f"figures written to {config.json}\n")
    return 0


def _classes(films: list[Sequence]) -> tuple[int, ...]:
    """The classes of films that have several, none where they have one: it is scored as all are."""
    labels = sorted({int(label) for film in films for label in film.label})
    return tuple(labels) if len(labels) > 1 else ()


def choose(names: list[str], wanted: str) -> list[str]:
    """``names``, or those of ``wanted``, which may be a split of KITTI's. InputError for one that is not there."""
    from knuckle.core.errors import unknown_name
    from knuckle.perception.tracking.kitti_split import SPLITS

    for name in (chosen := list(SPLITS.get(wanted, [name for name in wanted.split("+") if name]))):
        if name not in names:
            raise unknown_name("film", name, names, where="--films")
    return chosen or names


def print_table(
    console: object,
    results: dict[str, Result],
    figures: dict[str, float],
    bounds: dict[str, tuple[float, float]],
    suffix: str = "",
) -> None:
    """One row for each model; ``suffix`` ends the names of the figures of one class."""
    from rich.console import Console
    from rich.table import Table

    from knuckle.perception.tracking.evaluation import figure_name

    assert isinstance(console, Console)
    columns = ("hota", "assa", "deta", "idf1", "mota", "idsw", "kept_5", "kept_10", "kept_20")
    table = Table("model", *columns, "ms", box=None, pad_edge=False)
    for model in results:
        name, cells = f"{figure_name(model)}{suffix}", []
        for column in columns:
            value, interval = figures[f"{column}_{name}"], bounds.get(f"{column}_{name}")
            around = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval and column == "hota" else ""
            cells.append(f"{value:.1f}" if column == "idsw" else f"{value:.3f}{around}")
        table.add_row(model, *cells, f"{figures[f'cpu_{name}_ms']:.2f}")
    console.print(table)
