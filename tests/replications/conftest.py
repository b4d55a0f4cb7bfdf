"""Quick runs of experiments: figures that were stored with the code as it is now, or else measured anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from remanence.replications.frame.code import code_hash
from remanence.replications.frame.figure import Figures, from_json
from remanence.replications.frame.run import find_experiment

torch.set_num_threads(1)

QUICK = Path(__file__).parent / "quick"
"""Written by `python tools/quick_runs.py`."""


@pytest.fixture
def quick(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Figures]:
    """The figures of an experiment at its quick size, seed 0; nothing is trained when its code has not changed."""
    cache = tmp_path_factory.getbasetemp() / "remanence-cache"

    def figures(name: str) -> Figures:
        kind = find_experiment(name)
        path = QUICK / f"{name}.json"
        if path.is_file():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored["code"] == code_hash(kind.__module__):
                return from_json(stored["figures"], 0)
        monkeypatch.setenv("REMANENCE_CACHE", str(cache))  # substrates of other code are of no use
        return kind.at("quick")(0).figures["figures"]

    return figures
