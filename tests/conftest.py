"""What the marks of the tests need, and the one line said where it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# How long an example takes says what else the machine does, not whether the code is right.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
BUS = ROOT / "tests" / "ros"


def data_root() -> Path | None:
    """The folder of recordings: KNUCKLE_DATA, else ../shared/data beside the checkout; None where there is none."""
    folder = Path(os.environ.get("KNUCKLE_DATA") or ROOT.parent / "shared" / "data")
    return folder if folder.is_dir() else None


def _no_data() -> str:
    return "" if data_root() else "KNUCKLE_DATA names no folder of recordings"


def _no_ros() -> str:
    if importlib.util.find_spec("rclpy") is None:
        return "rclpy is not installed: pip install 'knuckle[ros]'"
    from knuckle_ros.messages_built import messages_problem

    problem = messages_problem()
    return f"{problem}: run `knuckle setup`" if problem else ""


def _no_browser() -> str:
    found = any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return "" if found else "no chromium on the path: apt-get install chromium"


_NEEDS: dict[str, Callable[[], str]] = {"data": _no_data, "ros": _no_ros, "browser": _no_browser}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with one line, the tests whose mark names something this machine lacks; keep those on the bus together."""
    reasons = {mark: find() for mark, find in _NEEDS.items()}
    parallel = config.pluginmanager.hasplugin("xdist")
    for item in items:
        # The tests on the bus look at every process and all shared memory of every run: they stay in one worker.
        if parallel and BUS in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("bus"))
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of recordings; tests that use it are marked ``data``."""
    folder = data_root()
    if folder is None:
        pytest.skip(_no_data())
    return folder


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this checkout."""
    return ROOT
