"""Shared by all tests: one torch thread, no network, one cache of substrates per run, and how tests go to processes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import hypothesis
import pytest

# One cache for this run and all its processes (they inherit the variable), so that no weights of older code are tested.
# To keep trained substrates between runs while you work, set REMANENCE_CACHE yourself.
CACHE: tempfile.TemporaryDirectory[str] | None = None
if "REMANENCE_CACHE" not in os.environ:
    CACHE = tempfile.TemporaryDirectory(prefix="remanence-tests-")
    os.environ["REMANENCE_CACHE"] = CACHE.name

# The same examples in every run; `make nightly` sets HYPOTHESIS_PROFILE=nightly for new ones and more of them.
hypothesis.settings.register_profile("ci", derandomize=True, max_examples=25, deadline=None, database=None)
hypothesis.settings.register_profile("nightly", max_examples=300, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With xdist (`--dist loadfile`): files with slow tests start first.

    Files whose tests start Ray or DDP carry `xdist_group("ray")`: the longest begins the run and the others come after
    all other slow files, so that they do not run beside each other.
    """
    if not hasattr(config, "workerinput"):
        return
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    grouped = {item.path for item in items if item.get_closest_marker("xdist_group")}

    def place(item: pytest.Item) -> int:
        if item.path.name == "test_two_nodes.py":
            return 0
        return 2 if item.path in grouped else 1 if item.path in slow else 3

    items.sort(key=place)


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
