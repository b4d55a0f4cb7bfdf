"""Shared by all tests: one torch thread, no network, and the folder of real data when it is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session", autouse=True)
def published_run_json() -> Iterator[None]:
    """Whatever run a job begins in any test, its run.json is as the published schema says."""
    import jsonschema

    from remanence.core.run import Run
    from remanence.jobs.run_schema import run_schema

    check = jsonschema.Draft202012Validator(run_schema())
    begin = Run.begin.__func__  # type: ignore[attr-defined]

    def checked(cls: type[Run], folder: Any, spec: Any, **more: Any) -> Run:
        if sys._getframe(1).f_globals["__name__"].startswith("remanence.jobs."):
            check.validate(spec)
        return begin(cls, folder, spec, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "begin", classmethod(checked))
        yield
