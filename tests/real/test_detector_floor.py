"""On real text: never-seen sentences are flagged as rarely as was asked for, and copies of seen ones are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from detector_floor import run_set


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sst2", "boolq", "dialogsum"])
def test_the_floor_is_one_percent_and_copies_of_20_words_are_found(shared_data: Path, name: str) -> None:
    found = run_set(shared_data, name, seed=0)["alphas"]["0.01"]["chain"]
    _, _, low, _ = found["floor"]
    assert low <= 0.01
    assert found["copy 20"] >= 0.8
    assert found["replaced 0.1"] >= 0.8
