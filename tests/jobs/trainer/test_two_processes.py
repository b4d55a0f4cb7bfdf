"""Two processes that train one model: the same figures and decisions in both, and no waiting for each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import torch
from test_callback import SHORT, hf, small
from torch import nn

from remanence import AuditCallback
from remanence.jobs.trainer.curve import FILE
from remanence.models.load import load_model
from remanence.training.ranks import rank, sharding, sum_over_processes, world_size


def launched(out: Path, how: str) -> tuple[list[dict[str, Any]], str]:
    """(what each process saw, what both printed)."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launcher, str(Path(__file__).with_name("two_processes.py")), str(out), how],
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"rank-{n}.json").read_text()) for n in range(2)], done.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_both_processes_see_the_same_and_stop_together(tmp_path: Path) -> None:
    """DDP: the rows are shared out; the first look is that of one process, and the last can be taken again."""
    (one, other), said = launched(tmp_path, "ddp")
    assert one["world"] == 2
    assert one == other, "curve, stop, best model and weights"
    assert "rate>=0.5" in one["why"] and 0 < one["step"] < 48
    assert one["logged"] == [look["loss"] for look in one["curve"]]
    assert said.count("remanence: step 0 ") == 1, "one of the two speaks"
    alone = AuditCallback(heldout=small.UNSEEN, **SHORT)
    hf(tmp_path / "alone", [alone], max_steps=1).train()
    assert one["curve"][0]["loss"] == pytest.approx(alone.curve[0].loss, abs=1e-5)
    assert one["curve"][0]["rows"] == alone.curve[0].rows
    within = [look for look in one["curve"] if look["excess"] <= 0.45]
    assert one["best"] == min(within, key=lambda look: look["heldout_loss"])["step"] < one["step"]
    saved = load_model(tmp_path / "remanence-best").model
    assert one["weights"] == pytest.approx(float(sum(p.double().abs().sum() for p in saved.parameters())), rel=1e-9)
    assert len((tmp_path / FILE).read_text().splitlines()) == len(one["curve"])


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_under_fsdp_no_look_is_taken_and_the_training_goes_on(tmp_path: Path) -> None:
    seen, said = launched(tmp_path, "sharded")
    assert all(one["curve"] == [] and one["step"] == 48 for one in seen)
    assert all(one["losses"][-1] < one["losses"][0] / 2 for one in seen), "it learns"
    assert said.count("spread over processes") == 1 and "audit the saved model" in said


def test_a_model_under_zero_3_is_known_by_its_weights() -> None:
    """DeepSpeed is not installed here: its mark on a weight, `ds_id`, is set by hand."""
    model = nn.Linear(2, 2)
    assert sharding(model) is None and sharding(nn.DataParallel(model)) is None
    model.weight.ds_id = 0  # type: ignore[assignment]
    assert sharding(model) == "DeepSpeed ZeRO-3"


def test_one_process_alone_is_number_0_of_1() -> None:
    values = torch.arange(3, dtype=torch.float64).numpy()
    assert (rank(), world_size()) == (0, 1) and sum_over_processes(values, torch.device("cpu")) is values
