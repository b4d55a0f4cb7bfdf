"""Shared by all tests: one torch thread, no network, and the folder of real data when it is there."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The project's folder of real data sets, or a skip that says so in one line."""
    if not SHARED.is_dir():
        pytest.skip("the shared data sets (../shared/data) are not on this machine")
    return SHARED
