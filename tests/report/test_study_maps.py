"""Attention maps in a study's report: drawn from the table, and without a token of the row unless it may be shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from remanence.core.run import Run
from remanence.report.study import Study, slug
from remanence.report.study_maps import maps

from .fake_study import fake_study


@pytest.fixture
def mapped(tmp_path: Path) -> Run:
    """A study of which every arm has the map of one training row, `secret` among its tokens."""
    run = fake_study(tmp_path / "study", seeds=(0,))
    weights = np.array([[1.0, np.nan], [0.25, 0.75]], np.float32)
    line = {"group": "train", "row": 0, "id": "a", "kind": "self", "says": ["the", "secret"], "sees": ["<s>", "the"],
            "learned": [True, True], "weights": weights.ravel().tolist()}  # fmt: skip
    empty = dict.fromkeys(line) | {"group": "heldout", "row": 0, "id": "b"}
    for arm in Study.read(run).arms:
        run.write_table(f"arms/{slug(arm)}/maps", pa.Table.from_pylist([line, empty]))
    return run


def test_two_tasks_of_each_way_of_training_are_drawn(mapped: Run) -> None:
    study = Study.read(mapped)
    drawn = maps(study, reveal=True)
    assert len(drawn) == 2 * len(study.kinds)  # the held-out row has no map
    assert all("the training row with most copies" in one.title for one in drawn)
    assert all("secret" in one.svg and one.svg.startswith("<svg") for one in drawn)


def test_no_token_is_in_the_file_unless_revealed(mapped: Run) -> None:
    assert not any("secret" in one.svg for one in maps(Study.read(mapped), reveal=False))


def test_a_study_without_maps_has_no_such_section(tmp_path: Path) -> None:
    assert maps(Study.read(fake_study(tmp_path / "study", seeds=(0,))), reveal=True) == []
