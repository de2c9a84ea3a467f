"""``knuckle train tracker``: ridge maps, learned motion and tuned settings from films, real or simulated."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knuckle.core.arguments import parse_arguments
from knuckle.core.config import describe, from_mapping, parse_pairs, parse_text, setting
from knuckle.core.errors import ConfigError, InputError, unknown_name
from knuckle.perception.tracking.eval_command import POINTRCNN, RECIPE
from knuckle.perception.tracking.net_settings import FitConfig, LinkConfig, MtpConfig, TrackSsmConfig

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from knuckle.perception.tracking.motion_model import MotionModel
    from knuckle.perception.tracking.net_fit import NetFit
    from knuckle.perception.tracking.rivals import Weights
    from knuckle.perception.tracking.sequence import Sequence
    from knuckle.perception.tracking.tuned_settings import Tuned

PARTS = ("ridge", "mtp", "trackssm", "link", "tuned")
MODELS = "last+cv+sort+bytetrack+ocsort+ridge+mtp+trackssm+bytetrack-link+ridge-link+mtp-link+trackssm-link"
LINK_MODELS = ("cv", "bytetrack", "ridge", "mtp")
"""The association is learned from what these meet, as far as the run has them."""
SETTINGS, METRICS, WEIGHTS = "run.json", "metrics.jsonl", "weights"
HISTORY, AHEAD, EVERY = 10, 20, 3
HELD_OUT = 4
"""Every fourth film is left to tune on."""
EVERY_SETTING: tuple[str, ...] = ()
TUNED_AFTER_RIDGE = ("first_iou", "noise", "coast")
TUNED_AFTER_LINK = ("coast", "link", "memory", "confirm")


@dataclass(frozen=True)
class TrainTracker:
    """Fit, train and tune trackers. The same command goes on with a run that ended early."""

    data: str = setting("simulated", "folder of MOT sequences or KITTI's, or simulated, simulated-players and so on")
    weights: str = setting("", "folder of weights to begin from, or shipped; parts that are made replace them")
    detections: str = setting(
        RECIPE, "whose settings are tuned for: the recipe's, or PointRCNN's", choices=(RECIPE, POINTRCNN)
    )
    run: str = setting("runs/tracker", "folder of the run; its weights/ is what knuckle eval tracker takes")
    parts: str = setting("ridge+mtp+trackssm+link+tuned", "what to make, with + between, in this order")
    models: str = setting(MODELS, "models that are tuned, with + between; mtp-link is mtp with learned association")
    films: str = setting("", "some films of the folder, with + between, or kitti-train; all where empty")
    simulated: int = setting(16, "films of every kind, where they are simulated", low=2, high=10_000)
    frames: int = setting(0, "first frames of each film; all where 0", low=0, high=1_000_000)
    tune_frames: int = setting(150, "frames of each film that is tuned on", low=20, high=100_000)
    tune_films: int = setting(4, "films that are tuned on", low=1, high=1000)
    tune_all: bool = setting(False, "every setting of every model anew, also of those that are dear to run")
    minutes: float = setting(0.0, "CPU-minutes after which training pauses, 0: no bound", low=0.0, high=1e5)
    set: str = setting("", "settings that differ: fit.updates=2000,mtp.width=64,trackssm.decoder=6")
    seed: int = setting(0, "seed of everything that is drawn", low=0, high=2**31 - 1)


@dataclass(frozen=True)
class Networks:
    """The settings of training and of the networks."""

    fit: FitConfig = field(default_factory=FitConfig)
    mtp: MtpConfig = field(default_factory=MtpConfig)
    trackssm: TrackSsmConfig = field(default_factory=TrackSsmConfig)
    link: LinkConfig = field(default_factory=LinkConfig)


def train_tracker(argv: list[str]) -> int:
    """Run ``knuckle train tracker``. Raises InputError for films, names or a folder that cannot be used."""
    config = parse_arguments(TrainTracker, argv, "knuckle train tracker")
    parts = [part for part in config.parts.split("+") if part]
    for part in parts:
        if part not in PARTS:
            raise unknown_name("part", part, PARTS, where="--parts")
    networks = _networks(config.set)
    from rich.console import Console

    from knuckle.core.figures import require_writable
    from knuckle.perception.tracking.eval_command import choose
    from knuckle.perception.tracking.film_source import film_names, read_films
    from knuckle.perception.tracking.rivals import rival

    for name in config.models.split("+"):
        rival(name)
    run = Path(config.run)
    require_writable(run / SETTINGS, what="the run")
    names = choose(film_names(config.data, config.seed, config.simulated), config.films)
    _same_run(run, config, networks)
    console = Console(highlight=False, soft_wrap=True)
    films = read_films(config.data, names, config.frames)
    held = films if parts == ["tuned"] else films[::HELD_OUT] if len(films) > HELD_OUT else films
    learned = [film for film in films if film not in held] or films
    work = _Work(config, networks, run, learned, console)
    if config.weights:
        work.take(Path(config.weights))
    if "ridge" in parts:
        work.ridge()
    complete = [work.network(part) for part in ("mtp", "trackssm") if part in parts]
    if not all(complete):
        console.print("training is not complete: the same command goes on with it")
        return 0
    if "link" in parts:
        work.link()
    if "tuned" in parts:
        # As far from each other as they can be: of simulated films one of each kind.
        spaced = held[:: -(-len(held) // config.tune_films)]
        work.tune(config.models.split("+"), spaced)
    console.print(f"weights in {run / WEIGHTS}")
    return 0


class _Work:
    """One run: what its parts share."""

    def __init__(
        self, config: TrainTracker, networks: Networks, run: Path, films: list[Sequence], console: Console
    ) -> None:
        self.config, self.networks, self.run, self.films, self.console = config, networks, run, films, console
        self.begun = time.process_time()
        self.rate_hz = films[0].rate_hz
        self._windows: np.ndarray[Any, Any] | None = None

    @property
    def folder(self) -> Path:
        return self.run / WEIGHTS

    @property
    def source(self) -> str:
        data = self.config.data
        return f"{data if data.startswith('simulated') else Path(data).name}, {len(self.films)} films"

    def take(self, given: Path) -> None:
        """Copy weights, but not the tuned settings, unless the run has its own."""
        from knuckle.perception.tracking.weights_folder import SHIPPED
        from knuckle.perception.tracking.whole_file import write_whole

        source = SHIPPED if str(given) == "shipped" else given
        files = [path for path in sorted(source.glob("*.safetensors")) if path.with_suffix(".json").is_file()]
        if not files:
            raise InputError(
                "no weights", where=str(given), right="a folder that knuckle train tracker made, or shipped"
            )
        for path in files:
            if not (self.folder / path.name).is_file():
                for one in (path, path.with_suffix(".json")):
                    write_whole(self.folder / one.name, one.read_bytes())

    def windows(self) -> np.ndarray[Any, Any]:
        from knuckle.perception.tracking.track_windows import stretches

        if self._windows is None:
            self._windows = stretches(self.films, HISTORY + AHEAD, EVERY)
        return self._windows

    def ridge(self) -> None:
        """Fit the linear map."""
        import numpy as np

        from knuckle.perception.tracking.ridge_fit import fit_ridge
        from knuckle.perception.tracking.ridge_motion import SEES_AND_SAYS
        from knuckle.perception.tracking.weights_folder import save_weights

        begun = time.process_time()
        made = fit_ridge(self.windows(), np.random.default_rng(self.config.seed), noise=self.networks.fit.noise)
        tensors = {"maps": made.weights.astype(np.float32), "spread": made.spread.astype(np.float32)}
        cpu_s = round(time.process_time() - begun, 2)
        facts = {"cpu_s": cpu_s, "windows": len(self.windows())}
        save_weights(self.folder, "ridge", tensors, facts, self.source, HISTORY, self.rate_hz, SEES_AND_SAYS)
        self.console.print(f"ridge: {len(self.windows())} stretches of {self.source}, {cpu_s} CPU-seconds")

    def network(self, name: str) -> bool:
        """Train a network as far as the minutes allow; whether it is complete, and then its weights are written."""
        from knuckle.perception.tracking.net_fit import note
        from knuckle.perception.tracking.net_start import exported, make_net, start

        config, fit_config = self.config, self.networks.fit
        net = make_net(name, self.networks.mtp, self.networks.trackssm, config.seed)
        fit = start(net, self.windows(), fit_config, config.seed)
        checkpoint = self.run / f"{name}.checkpoint.safetensors"
        if checkpoint.is_file():
            fit.restore(checkpoint)
            self.console.print(f"{name}: goes on after {fit.done} updates")
        while not fit.complete and (not config.minutes or time.process_time() - self.begun < 60.0 * config.minutes):
            loss = fit.round()
            fit.keep(checkpoint)
            note(self.run / METRICS, {"updates": fit.done, f"loss_{name}": loss, "cpu_s": round(fit.cpu_s, 2)})
            self.console.print(
                f"{name}: {fit.done} of {fit_config.updates} updates, loss {loss:.4f}, {fit.cpu_s:.0f} s"
            )
        if fit.complete:
            self._export(name, fit, exported(net, self.windows(), config.seed, fit_config.noise))
        return fit.complete

    def link(self) -> None:
        """Learn the association from what the models of this run meet on its films."""
        from knuckle.perception.tracking.detection_recipe import detect
        from knuckle.perception.tracking.link_net import SEES_AND_SAYS, learn_link
        from knuckle.perception.tracking.real_detections import pointrcnn_cars
        from knuckle.perception.tracking.rivals import LINK, rival, weights_of
        from knuckle.perception.tracking.tuned_settings import tuned_of
        from knuckle.perception.tracking.weights_folder import save_weights

        begun, own = time.process_time(), self.networks.link
        some = [film.head(own.frames) for film in self.films]
        if self.config.detections == POINTRCNN:
            some, seen = pointrcnn_cars(self.config.data, some)
        else:
            seen = [detect(film, self.config.seed + 55) for film in some]
        models = []
        for name in LINK_MODELS:
            if not rival(name).tensors or (self.folder / f"{name}.json").is_file():
                tuned, weights = tuned_of(name, self.folder), weights_of(name, self.folder)
                models.append(partial(_made, name, tuned.motion, weights))
        made, facts = learn_link(some, seen, models, own, self.config.seed)
        cpu_s = round(time.process_time() - begun, 1)
        told = {"cpu_s": cpu_s, **facts, **asdict(own)}
        save_weights(self.folder, LINK, made, told, self.source, 1, self.rate_hz, SEES_AND_SAYS)
        self.console.print(f"link: {facts['pairs']:.0f} pairs, loss {facts['loss']:.4f}, {cpu_s} CPU-seconds")

    def _export(self, name: str, fit: NetFit, tensors: dict[str, Any]) -> None:
        from knuckle.perception.tracking.weights_folder import save_weights

        own = asdict(getattr(self.networks, name))
        facts = {"cpu_s": round(fit.cpu_s, 1), "updates": fit.done, "windows": len(self.windows()), **own}
        save_weights(self.folder, name, tensors, facts, self.source, own["history"], self.rate_hz)

    def tune(self, names: list[str], films: list[Sequence]) -> None:
        """Tune every model, from where tuned.json has it already; what there is of others there stays."""
        from knuckle.core.figures import write_text
        from knuckle.perception.tracking.detection_recipe import detect
        from knuckle.perception.tracking.real_detections import pointrcnn_cars
        from knuckle.perception.tracking.rivals import weights_of
        from knuckle.perception.tracking.tuned_settings import REAL_CHOICES, TUNED, as_json
        from knuckle.perception.tracking.tuning import NO_MORE, tune
        from knuckle.perception.tracking.weights_folder import read_json

        path = self.folder / TUNED
        some = [film.head(self.config.tune_frames) for film in films]
        if self.config.detections == POINTRCNN:
            some, seen = pointrcnn_cars(self.config.data, some)
        else:
            seen = [detect(film, self.config.seed + 77) for film in some]
        table = read_json(path, "the tuned settings") if path.is_file() else {}
        models = dict(table.get("models", {}))
        for name in names:
            begin, only = self._where_tuning_begins(name, models, str(path))
            more = REAL_CHOICES if self.config.detections == POINTRCNN else NO_MORE
            tuned = tune(name, some, seen, weights_of(name, self.folder), begin, only, more)
            models[name] = as_json(tuned)
            facts = {"data": self.source, "films": [film.name for film in some], "frames": self.config.tune_frames}
            write_text(path, json.dumps({**facts, "seed": self.config.seed, "models": models}, indent=1) + "\n")
            self.console.print(
                f"{name}: HOTA {tuned.hota:.3f} tuned, {tuned.tried} tries, {tuned.cpu_s:.0f} CPU-seconds"
            )

    def _where_tuning_begins(self, name: str, models: dict[str, Any], where: str) -> tuple[Tuned, tuple[str, ...]]:
        """Settings to begin with, and which may change: all where the tuple is empty."""
        from knuckle.perception.tracking.rivals import is_linked, plain, rival
        from knuckle.perception.tracking.tuned_settings import from_json, linked, untuned

        learned = bool(rival(name).tensors) and plain(name) != "ridge"
        # What a filter thinks of its own errors counts in learned association as it does not in overlaps.
        after_link = (*TUNED_AFTER_LINK, *rival(name).choices)
        only = after_link if is_linked(name) else TUNED_AFTER_RIDGE if learned else EVERY_SETTING
        if self.config.tune_all and not is_linked(name):
            return untuned(name), EVERY_SETTING
        if name in models:
            return from_json(models[name], name, where), only
        # What is dear to run begins where the ridge map ended, and learned association where the same motion did.
        before = plain(name) if is_linked(name) else "ridge" if learned else name
        if before not in models:
            return untuned(name), only
        begin = from_json(models[before], before, where)
        return linked(begin) if is_linked(name) else replace(begin, motion={}), only


def _made(name: str, motion: dict[str, float], weights: Weights, frame_s: float) -> MotionModel:
    from knuckle.perception.tracking.rivals import rival

    return rival(name).make(frame_s, motion, weights)


def _networks(text: str) -> Networks:
    """The settings with the changes of ``text``. ConfigError for one that does not exist or is out of range."""
    parts: dict[str, Any] = {part.name: getattr(Networks(), part.name) for part in fields(Networks)}
    for name, value in parse_pairs(text, where="--set").items():
        part, _, key = name.partition(".")
        specs = {spec.name: spec for spec in describe(type(parts[part]))} if part in parts else {}
        if key not in specs:
            known = [f"{p}.{spec.name}" for p, own in parts.items() for spec in describe(type(own))]
            raise ConfigError("unknown setting", where=f"--set {name}", right=f"known: {', '.join(known)}")
        changed = {**asdict(parts[part]), key: parse_text(specs[key], value, where=name)}
        parts[part] = from_mapping(type(parts[part]), changed, where=part)
    return Networks(**parts)


def _same_run(run: Path, config: TrainTracker, networks: Networks) -> None:
    """Note the settings of a new run; InputError where another was begun here."""
    from knuckle.core.figures import write_text
    from knuckle.perception.tracking.weights_folder import read_json

    told = ("data", "films", "simulated", "frames", "seed")
    wanted = {name: getattr(config, name) for name in told} | {"networks": asdict(networks)}
    path = run / SETTINGS
    if not path.is_file():
        write_text(path, json.dumps(wanted, indent=2) + "\n")
        return
    here = read_json(path, "the run's settings")
    for name, value in wanted.items():
        if here.get(name) != value:
            what = f"the run here has {name} {here.get(name)}, not {value}"
            raise InputError(what, where=str(run), right="the same settings, or another --run")
