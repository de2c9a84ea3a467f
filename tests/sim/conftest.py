"""What tests of worlds to learn in share: one folder of stable starts a run."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def start_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start cache that the whole run shares."""
    return tmp_path_factory.mktemp("starts")
