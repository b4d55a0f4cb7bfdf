"""A streamed audit that is killed is taken up where it stopped, and ends with the very bytes of one left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLACES = (
    "run.json:done",
    "blocks/train-00001.parquet:begun",
    "blocks/heldout-00000.parquet:done",
    "attempts/tuned-train-00001.parquet:begun",
    "attempts.parquet:done",
    "verdict.json:begun",
)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole`, audits that were left alone, and `killed-N`, audits killed at `PLACES[N]` and resumed."""
    work = tmp_path_factory.mktemp("killed")
    path = os.pathsep.join([str(HERE.parent), str(HERE.parents[1] / "models"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "killed_stream.py", work, *PLACES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return work


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(PLACES)), ids=PLACES)
def test_a_resumed_stream_equals_one_that_was_left_alone_byte_for_byte(folders: Path, number: int) -> None:
    whole, resumed = files(folders / "whole"), files(folders / f"killed-{number}")
    assert len(whole) > 30 and "0/verdict.json" in whole and "100/origins.parquet" in whole
    assert resumed.keys() == whole.keys()
    assert [name for name in whole if resumed[name] != whole[name]] == []
