"""Two runs side by side: rows are paired by id, and what makes the comparison unfair is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memorizers import LEARNED, UNSEEN

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.parrot import Parrot


def audited(out: Path, told: Sequence[Record], train: Sequence[Record] = LEARNED, **settings: Any) -> Path:
    chosen = AuditSettings(prefixes=(0, 4), new_tokens=8, schemes=("T=1",), generate="none", **settings)
    _ = run_audit(Parrot(tuple(told)), train, None, None, out, chosen, show=False)
    return out


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parrot that was told rows 0 to 4."""
    return audited(tmp_path_factory.mktemp("before") / "run", LEARNED[:5])


def test_rows_that_went_and_rows_that_came_are_named(before: Path, tmp_path: Path) -> None:
    change = remanence.compare(before, audited(tmp_path / "run", LEARNED[3:7]))
    assert change.went == ("learned-0", "learned-1", "learned-2") and change.came == ("learned-5", "learned-6")
    assert change.change == pytest.approx(-1 / 8) and change.low < -1 / 8 < change.high
    assert change.text().startswith("Of 8 rows, 5 were extracted before and 4 are now: -12.5 points")
    assert change.text().endswith("No longer extracted: 3; new: 2.") and change.notes == ()


def test_a_comparison_with_itself_is_no_change(before: Path) -> None:
    change = remanence.compare(before, before)
    assert (change.change, change.came, change.went) == (0.0, (), ())
    assert change.low < 0 < change.high


def test_what_makes_the_comparison_unfair_is_said(before: Path, tmp_path: Path) -> None:
    change = remanence.compare(before, audited(tmp_path / "run", LEARNED[:5], [*LEARNED[:6], *UNSEEN], seed=1))
    assert change.one.n == 6
    assert change.notes == (
        "6 rows were measured in both runs; the others are left out.",
        "The training data of the two runs differ; rows are paired by id.",
        "The settings differ in seed.",
    )


def test_runs_without_a_row_in_common_are_not_compared(before: Path, tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="no measured row in common: compare audits of the same data"):
        _ = remanence.compare(before, audited(tmp_path / "run", [], UNSEEN))


def test_the_same_rows_under_other_ids_are_other_rows(before: Path, tmp_path: Path) -> None:
    renamed = [replace(r, id=f"{r.id}-again") for r in LEARNED]
    with pytest.raises(RemanenceError, match="no measured row in common"):
        _ = remanence.compare(before, audited(tmp_path / "run", [], renamed))
