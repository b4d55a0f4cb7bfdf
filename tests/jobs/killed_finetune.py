"""A script for `test_finetune_job.py`: fine-tunes, and kills itself with SIGKILL when asked to.

Usage: killed_finetune.py BASE ROWS OUT never|step:N|save [resume]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from remanence.jobs import finetune as job

SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "learning_rate": 3e-3,
    "batch_size": 2,
    "dropout": 0.1,
    "heldout_share": 0.25,
    "save_epochs": True,
    "device": "cpu",
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class KillAt(TrainerCallback):
    """Kills the process after an optimizer step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            die()


def main(base: str, rows: str, out: str, when: str, resume: bool) -> None:
    torch.set_num_threads(1)
    callbacks = [KillAt(int(when.removeprefix("step:")))] if when.startswith("step:") else []
    if when == "save":
        real = job.save_model

        def half(model: Any, tokenizer: Any, folder: Path) -> None:
            real(model, tokenizer, folder)
            weights = folder / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:1000])
            die()

        job.save_model = half
    job.finetune_job(base, rows, out=out, callbacks=callbacks, resume=resume, show_progress=False, **SETTINGS)


if __name__ == "__main__":
    main(*sys.argv[1:5], resume="resume" in sys.argv[5:])
