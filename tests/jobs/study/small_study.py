"""A study of seconds: one casebook task, one epoch, few rows. As a script: run it, to be killed from outside.

Usage: small_study.py OUT [resume]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from remanence.corpora.casebook.base_model import base_folder
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.data import casebook_tasks
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.study import Studied, run_study

SETTINGS = StudySettings(
    rows=12, repeated=((3, 2),), members=6, heldout=6, calibration=40, prefixes=("0", "25%"), budgets=(4, 20),
    queries=(10,), rounds=50,
)  # fmt: skip
ARMS = [Arm("dialogue", "decoder", "all", 0, 2), Arm("dialogue", "encoder-decoder", "completion", 0, 2)]


def study(out: Path, **more: Any) -> Studied:
    torch.set_num_threads(1)
    models = {"decoder": str(base_folder()), "encoder-decoder": str(base_folder("seq2seq"))}
    return run_study(casebook_tasks(80), models, ARMS, out, SETTINGS, show=False, **more)


if __name__ == "__main__":
    study(Path(sys.argv[1]), resume=len(sys.argv) > 2)
