"""A trained network as a forecaster, run by onnxruntime: no torch, one thread, the same call as the closed form's.

Networks say where vehicles go on a plane. What else moves, in space above all, is the closed form's
(knuckle.motion.forecaster).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knuckle.core import cards
from knuckle.core.errors import InputError
from knuckle.motion.forecast_mixture import ForecastMixture
from knuckle.motion.learned.agent_frame import read_agents
from knuckle.motion.track_history import read_history

Array = NDArray[np.float64]
TRAINED = Path(__file__).parent / "trained"
TRAFFIC = "traffic"
KIND = "forecaster"
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Shape:
    """What a network reads and says: rows of history and steps to come, ``dt_s`` apart."""

    rows: int
    steps: int
    dt_s: float


class LearnedForecaster:
    """The network whose files are ``FOLDER/NAME.json`` and ``.onnx``; ``model`` may be the name of one that ships.

    Raises InputError where a file is missing, broken or not what its card says.
    """

    def __init__(self, model: str | Path = TRAFFIC) -> None:
        import onnxruntime

        stem = model_stem(model)
        graph = stem.with_suffix(".onnx")
        self.card = cards.load(stem.with_suffix(".json"))
        config = self.card.config
        try:
            if config["kind"] != KIND:
                raise InputError(f"a card of a {config['kind']}", where=str(stem), right="that of a forecaster")
            self.shape = Shape(int(config["rows"]), int(config["steps"]), float(config["dt_s"]))
            wanted = config["onnx_sha256"]
        except (KeyError, TypeError, ValueError) as error:
            what = f"the card is incomplete ({error})"
            raise InputError(what, where=str(stem), right="that of a forecaster") from error
        if cards.file_sha256(graph) != wanted or graph.stat().st_size > MAX_BYTES:
            raise InputError("the network is not the card's", where=str(graph), right="fetch both anew")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.times_s: Array = self.shape.dt_s * np.arange(1.0, self.shape.steps + 1.0)

    def forecast(self, history: ArrayLike, dt_s: ArrayLike) -> ForecastMixture:
        """Modes of the positions to come of N tracks on a plane, as `Forecaster.forecast` gives them.

        ``history`` (N, T, 2 or 4) is brought to the network's rows and rate by straight lines between the rows that
        were seen; before the first of them a track is taken to have moved as it did at first, a track of one point to
        stand. Raises InputError for space and for what `Forecaster.forecast` refuses.
        """
        points, steps = read_history(history, dt_s)
        if points.shape[-1] != 2:
            right = "positions on a plane; knuckle.motion.forecaster.Forecaster forecasts in space"
            raise InputError("positions in space for a network that learned on a plane", where="history", right=right)
        if not len(points):
            K = len(self.card.config["modes"])
            S = self.shape.steps
            return ForecastMixture(self.times_s, np.zeros((0, K)), np.zeros((0, K, S, 2)), np.zeros((0, K, S, 2, 2)))
        agents, features = read_agents(resample(points, steps, self.shape.rows, self.shape.dt_s), self.shape.dt_s)
        inputs = {"features": features, "speed": agents.speed.astype(np.float32)}
        probability, mean, covariance = (np.asarray(part, dtype=np.float64) for part in self._session.run(None, inputs))
        probability /= probability.sum(axis=1, keepdims=True)
        return ForecastMixture(self.times_s, probability, agents.out(mean), agents.out_covariance(covariance))


def model_stem(model: str | Path) -> Path:
    """FOLDER/NAME of a model: one that ships by its name, or a run's or a folder with one card in it.

    InputError where there is none.
    """
    if str(model) and (TRAINED / f"{model}.json").is_file():
        return TRAINED / str(model)
    for folder in (Path(model) / "model", Path(model)):
        found = sorted(path for path in folder.glob("*.json") if path.with_suffix(".safetensors").is_file())
        if len(found) == 1:
            return found[0].with_suffix("")
    known = ", ".join(sorted(path.stem for path in TRAINED.glob("*.json"))) or "none yet"
    raise InputError("no forecaster of this name", where=str(model), right=f"a folder of one, or: {known}")


def resample(points: Array, steps: Array, rows: int, dt_s: float) -> Array:
    """Histories (N, T, 2), rows ``steps`` apart and NaN where not seen, as (N, rows, 2), ``dt_s`` apart to the newest.

    Between and beyond the rows that were seen, a track moves straight on.
    """
    times = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = times[-1] + dt_s * np.arange(1 - rows, 1.0)
    out = np.zeros((len(points), rows, points.shape[-1]))
    for k, track in enumerate(points):
        seen = np.isfinite(track[:, 0])
        t, p = times[seen], track[seen]
        if len(t) == 1:
            out[k] = p[0]
            continue
        at = np.clip(np.searchsorted(t, wanted, side="right") - 1, 0, len(t) - 2)
        share = (wanted - t[at]) / (t[at + 1] - t[at])
        out[k] = p[at] + share[:, None] * (p[at + 1] - p[at])
    return out
