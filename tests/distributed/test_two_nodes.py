"""A Ray cluster of two nodes writes the very files that one process writes, whatever dies in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500), pytest.mark.xdist_group("ray")]

HERE = Path(__file__).parent
AUDITS = ("ray", "killed-scoring", "killed-asking", "from-serial", "from-ray", "node-gone")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `serial` and `AUDITS`, each an audit of the same rows, and the trail of each."""
    sys.path[:0] = [str(HERE.parent / "jobs"), str(HERE.parent / "models")]
    import memorizers
    import tiny_models
    import torch

    torch.set_num_threads(1)
    work = tmp_path_factory.mktemp("two-nodes")
    tokenizer = tiny_models.make_tokenizer(chat_template=tiny_models.MARKED_TEMPLATE)
    base = tiny_models.save_model(work / "models" / "llama", "llama", tokenizer=tokenizer)
    tuned = memorizers.overfit(base, work / "models" / "tuned", memorizers.LEARNED)
    path = f"{HERE}:{HERE.parent / 'jobs'}:{HERE.parent / 'models'}"
    done = subprocess.run(
        [sys.executable, HERE / "on_two_nodes.py", tuned, base, work],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return work


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def trail(work: Path, name: str) -> list[list[Any]]:
    return [json.loads(line) for line in (work / "trails" / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", AUDITS)
def test_the_run_folder_is_byte_for_byte_that_of_one_process(work: Path, name: str) -> None:
    serial, ray = files(work / "serial"), files(work / name)
    assert len(serial) > 30 and "verdict.json" in serial and "run.json" in serial
    assert ray.keys() == serial.keys()
    assert [file for file in serial if ray[file] != serial[file]] == []


@pytest.mark.parametrize("name", AUDITS)
def test_no_shard_that_was_written_is_begun_again(work: Path, name: str) -> None:
    written: set[tuple[str, ...]] = set()
    for event, *shard, _, _ in trail(work, name):
        if event == "gone":
            continue
        assert tuple(shard) not in written, shard
        if event == "written":
            written.add(tuple(shard))
    assert len(written) == 16 + 10  # (6 + 2) shards of rows and (4 + 1) of questions, for two models


def test_both_nodes_do_their_share(work: Path) -> None:
    begun = Counter(node for event, *_, node in trail(work, "ray") if event == "begun")
    assert len(begun) == 2 and "here" not in begun and sum(begun.values()) == 26


@pytest.mark.parametrize(("name", "what"), [("killed-scoring", "score"), ("killed-asking", "ask")])
def test_only_the_shard_over_which_a_worker_was_killed_is_begun_twice(work: Path, name: str, what: str) -> None:
    *shard, killed = json.loads((work / "trails" / f"{name}.died").read_text())
    assert shard[:2] == [what, "tuned"]
    begun = [(key, pid) for event, *key, pid, _ in trail(work, name) if event == "begun"]
    assert [key for key, count in Counter(tuple(key) for key, _ in begun).items() if count > 1] == [tuple(shard)]
    first, second = (pid for key, pid in begun if key == shard)
    assert first == killed and second != killed


def test_when_a_node_is_gone_the_other_does_the_rest(work: Path) -> None:
    lines = trail(work, "node-gone")
    at, lost = next((i, line[1]) for i, line in enumerate(lines) if line[0] == "gone")
    late = Counter(place for event, *_, place in lines[at:] if event == "begun")
    assert len(late) == 1 and lost not in late
    written = sum(event == "written" for event, *_ in lines[:at])
    assert sum(late.values()) >= 26 - written - 2 * 2, "all but what was written, and two in the hands of each worker"
