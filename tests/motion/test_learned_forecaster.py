"""The forecaster that comes along: it is whole, and it knows where simulated vehicles go."""

from __future__ import annotations

import numpy as np

from knuckle.motion.forecaster import Forecaster
from knuckle.motion.forecaster_config import TRAFFIC
from knuckle.motion.learned_forecaster import LearnedForecaster
from knuckle.motion.tracks.simulated_tracks import SimulatedTracks, simulated_tracks
from knuckle.motion.tracks.windows import WindowConfig, cut_windows


def test_what_comes_along_foretells_unseen_simulated_traffic_better_than_the_closed_form() -> None:
    windows = cut_windows(simulated_tracks(SimulatedTracks(vehicles=30, seconds=8.0), 77), WindowConfig())
    errors = {}
    for name, forecaster in (("learned", LearnedForecaster()), ("closed", Forecaster(TRAFFIC))):
        made = forecaster.forecast(windows.history, windows.dt_s)
        assert np.allclose(made.probability.sum(1), 1.0) and np.allclose(made.times_s[-1], 3.0)
        assert (np.linalg.eigvalsh(made.covariance) > 0).all()
        mean, covariance = made.moments()
        apart = windows.future[:, -1] - mean[:, -1]
        errors[name] = np.linalg.norm(apart, axis=1).mean()
        squared = (apart * np.linalg.solve(covariance[:, -1], apart[..., None])[..., 0]).sum(-1)
        # A mixture's own Gaussian holds about as much as its regions do.
        assert 0.75 < (squared < 4.605).mean() <= 1.0
    assert errors["learned"] < 0.9 * errors["closed"]
