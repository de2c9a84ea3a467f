"""What a forecast costs, in CPU time of this process: heads take turns, so that a busy machine is so for all."""

from __future__ import annotations

import time
from statistics import median

import torch

from knuckle.motion.learned.agent_frame import CHANNELS
from knuckle.motion.learned.network import ForecastNet

TRACKS, ROUNDS, CALLS = 20, 7, 10


def cpu_ms(nets: dict[str, ForecastNet]) -> dict[str, float]:
    """The median CPU milliseconds of forecasting 20 tracks once with each network, in torch, without gradients."""
    found: dict[str, list[float]] = {name: [] for name in nets}
    with torch.inference_mode():
        for turn in range(ROUNDS + 1):
            for name, net in nets.items():
                given = (torch.zeros(TRACKS, net.rows, CHANNELS), torch.full((TRACKS,), 10.0))
                begun = time.process_time()
                for _ in range(CALLS):
                    net(*given)
                if turn:  # the first turn warms up
                    found[name].append(1000.0 * (time.process_time() - begun) / CALLS)
    return {name: median(values) for name, values in found.items()}
