"""Runs a claim by the name of its file, once per seed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.verbs import Experiment, Verdict


def claim_names() -> list[str]:
    """Names of all claims: the files beside this one."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if p.stem not in {"__init__", "run"})


def find_claim(name: str, *, quick: bool = False) -> Experiment:
    """The claim of a file, at its default size or, with `quick`, at one for tests."""
    if name not in claim_names():
        raise RemanenceError(f"No claim is called {name!r}: choose one of {', '.join(claim_names())}.")
    module = importlib.import_module(f"remanence.replications.{name}")
    found: list[Any] = [
        cls
        for _, cls in inspect.getmembers(module, dataclasses.is_dataclass)
        if cls.__module__ == module.__name__ and hasattr(cls, "quick")
    ]
    assert len(found) == 1, f"{module.__name__} should hold one claim (a dataclass with `quick`), not {len(found)}"
    return found[0].quick() if quick else found[0]()


def run_claim(name: str, seeds: Sequence[int] = (0, 1, 2), *, quick: bool = False) -> Iterator[Verdict]:
    """One verdict per seed, as they come."""
    claim = find_claim(name, quick=quick)
    with one_thread():
        for seed in seeds:
            yield claim(seed)


@contextmanager
def one_thread() -> Generator[None]:
    """One torch thread: tiny models are slower with two, and the figures should not depend on the machine's cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
