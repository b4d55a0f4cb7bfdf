"""Looking without touching: what is done inside leaves no trace in a training that goes on afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator
from typing import Any

import numpy as np
import torch

from remanence.training.start import evaluating


@contextlib.contextmanager
def undisturbed(model: Any = None) -> Generator[None]:
    """While open, dropout is off; afterwards every module is in its old mode and every random generator in its state.

    Generators: Python's, NumPy's, torch's on the CPU and on the model's device.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (the Trainer seeds this very one)
    device = next(model.parameters()).device if model is not None else torch.device("cpu")
    devices = [device] if device.type == "cuda" else []
    try:
        quiet = evaluating(model) if model is not None else contextlib.nullcontext()
        with torch.random.fork_rng(devices=devices), quiet:
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
