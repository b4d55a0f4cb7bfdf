"""Run folders made of dice, once per session, and the reports written from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from remanence.core.run import Run
from remanence.report.html import write_report

from .fake_run import fake_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """300 rows, held-out rows, a base model, and a row that tries to break out."""
    return fake_run(tmp_path_factory.mktemp("runs") / "audit")


@pytest.fixture(scope="session")
def hidden(run: Run) -> Path:
    """The report as anyone may see it."""
    return write_report(run)


@pytest.fixture(scope="session")
def revealed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report with training text."""
    folder = tmp_path_factory.mktemp("runs") / "revealed"
    shutil.copytree(run.folder, folder)
    return write_report(Run.open(folder), reveal=True)
