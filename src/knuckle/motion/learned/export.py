"""A trained network as an ONNX file, kinematics included, held against the network before it is kept."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from knuckle.core.errors import RunError
from knuckle.motion.learned.agent_frame import CHANNELS
from knuckle.motion.learned.fit import Examples
from knuckle.motion.learned.network import ForecastNet

OPSET = 17
TOLERANCE = 2e-4
"""How far an output may be from the network's, of the largest of its kind or of 1; everything is float32."""
INPUTS, OUTPUTS = ("features", "speed"), ("probability", "mean", "covariance")


class _Flat(nn.Module):
    def __init__(self, net: ForecastNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, features: Tensor, speed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixture = self.net(features, speed).mixture
        return mixture.log_weights.softmax(-1), mixture.mean, mixture.covariance


def export_onnx(path: Path, net: ForecastNet, examples: Examples) -> float:
    """Write the network; how far the file is from it on ``examples``. RunError where too far, or not to be written."""
    import onnxruntime

    flat = _Flat(net).eval()
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    some = (torch.zeros(2, net.rows, CHANNELS), torch.ones(2))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # The exporter that traces says that it is not the default, and that checks of shapes are not in the graph.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                flat,
                some,
                str(partial),
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                dynamic_axes={name: {0: "tracks"} for name in (*INPUTS, *OUTPUTS)},
                opset_version=OPSET,
                dynamo=False,
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(partial), options, providers=["CPUExecutionProvider"])
        apart = 0.0
        for rows in (slice(0, 1), slice(0, 64)):
            given = (examples.features[rows], examples.speed[rows])
            with torch.no_grad():
                wanted = [part.numpy() for part in flat(*given)]
            found = session.run(None, {name: part.numpy() for name, part in zip(INPUTS, given, strict=True)})
            for one, other in zip(found, wanted, strict=True):
                apart = max(apart, float(np.abs(one - other).max() / max(1.0, float(np.abs(other).max()))))
        if not apart <= TOLERANCE:
            what = f"the exported network's outputs differ by {apart:.2g}"
            raise RunError(what, where=str(path), right=f"{TOLERANCE:g} at most")
        partial.replace(path)
    except OSError as error:
        what = f"the network cannot be written ({error.strerror})"
        raise RunError(what, where=str(path), right="room in a folder of yours") from error
    finally:
        partial.unlink(missing_ok=True)
    return apart
