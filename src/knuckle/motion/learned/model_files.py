"""A trained network's files: weights, ONNX and the card that vouches for both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from knuckle.core import cards
from knuckle.core.array_file import read_arrays, write_arrays
from knuckle.core.config import from_mapping
from knuckle.core.errors import InputError
from knuckle.motion.learned.agent_frame import CHANNELS
from knuckle.motion.learned.export import export_onnx
from knuckle.motion.learned.fit import Examples, Fit
from knuckle.motion.learned.network import ForecastNet, make_net
from knuckle.motion.learned.settings import MODES, NetConfig
from knuckle.motion.learned_forecaster import KIND, model_stem

OWN = "the data's own licence; weights trained on non-commercial data are not to be shipped"
SIMULATED_LICENCE = "Apache-2.0"


def save_model(
    folder: Path, name: str, fit: Fit, validation: Examples, data: str, scores: Mapping[str, Mapping[str, float]]
) -> cards.Card:
    """Write NAME.safetensors, NAME.onnx and, last, NAME.json of the network with its best weights.

    A bicycle that was trained in the full form is exported in the curved one. RunError where the ONNX differs.
    """
    net, weights = fit.net, folder / f"{name}.safetensors"
    if net.config.head == "bicycle" and net.config.form == "full":
        net.head.form = "curved"
    write_arrays(
        weights,
        {key: value.detach().numpy() for key, value in net.state_dict().items()},
        {"kind": KIND},
        what="the model",
    )
    parity = export_onnx(folder / f"{name}.onnx", net, validation)
    training = fit.training
    config: dict[str, Any] = {
        "kind": KIND,
        "net": asdict(training.net),
        "learn": asdict(training.learn),
        "windows": asdict(training.windows),
        "seed": training.seed,
        "rows": net.rows,
        "steps": net.steps,
        "dt_s": net.head.dt_s,
        "form": net.head.form,
        "modes": list(range(MODES)),
        "parameters": net.parameters_count,
        "updates": fit.updates,
        "best_update": fit.best_update,
        "windows_learned_from": len(fit.examples),
        "cpu_s": round(fit.cpu_s, 1),
        "onnx_sha256": cards.file_sha256(folder / f"{name}.onnx"),
        "onnx_parity": parity,
        "versions": {package: version(package) for package in ("knuckle", "torch")},
    }
    card = cards.Card(
        name=f"forecast {training.net.head}",
        config=config,
        observations=(cards.Entry("features", (net.rows, CHANNELS), "0.5 m, 2 m/s, 10 m/s in the body's frame"),),
        actions=(
            cards.Entry("probability", (MODES,), "1"),
            cards.Entry("mean", (MODES, net.steps, 2), "m"),
            cards.Entry("covariance", (MODES, net.steps, 2, 2), "m^2"),
        ),
        rate_hz=1 / net.head.dt_s,
        data=data,
        licence=SIMULATED_LICENCE if data.startswith("simulated") else OWN,
        scores={protocol: dict(figures) for protocol, figures in scores.items()},
        sha256=cards.file_sha256(weights),
    )
    cards.save(card, folder / f"{name}.json")
    return card


def load_net(model: str | Path) -> tuple[ForecastNet, cards.Card]:
    """The network and its card: a name that ships, or a folder. InputError where a file is not what the card says."""
    stem = model_stem(model)
    weights = stem.with_suffix(".safetensors")
    card = cards.load(stem.with_suffix(".json"), weights=weights)
    arrays, _ = read_arrays(weights, what="the model", right="the weights that the card is of")
    try:
        config = from_mapping(NetConfig, card.config["net"], where=str(stem))
        net = make_net(config, int(card.config["rows"]), int(card.config["steps"]), float(card.config["dt_s"]), 0)
        net.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
        net.head.form = card.config["form"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = f"the card does not fit the weights ({str(error).splitlines()[0][:120]})"
        raise InputError(what, where=str(stem), right="both of one training") from error
    net.eval()
    return net, card
