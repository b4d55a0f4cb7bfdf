"""What happens while a Trainer runs: a bar, and after every epoch a checkpoint and a look at the live model."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback
from transformers.utils import logging as hf_logging

OnEpoch = Callable[[int, Any], None]
"""Called with the number of epochs done (from 1) and the live model, which is in eval mode for the time."""


def checkpoint(out: Path, epoch: int) -> Path:
    """Folder of the model after so many epochs: `OUT/checkpoints/epoch-003`."""
    return out / "checkpoints" / f"epoch-{epoch:03d}"


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights (an adapter's alone, where there is one) and tokenizer, as `load_model` opens them.

    A folder that is new is there only when it is whole.
    """
    place = folder if folder.exists() else folder.with_name(f"{folder.name}.part")
    if place != folder:
        shutil.rmtree(place, ignore_errors=True)
    model.save_pretrained(place, **({"save_embedding_layers": False} if hasattr(model, "peft_config") else {}))
    tokenizer.save_pretrained(place)
    (place / "README.md").unlink(missing_ok=True)  # PEFT's empty model card, which holds the base model's path
    if place != folder:
        place.rename(folder)


class AfterEpoch(TrainerCallback):
    """Calls a function with every finished epoch; dropout is off meanwhile, and the draws that follow stay the same."""

    def __init__(self, call: OnEpoch) -> None:
        self.call = call

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        epoch = round(state.epoch)
        if abs(state.epoch - epoch) > 1e-6:
            return  # the last, unfinished one
        model.eval()
        try:
            with torch.random.fork_rng():
                self.call(epoch, model)
        finally:
            model.train()


class Bar(TrainerCallback):
    """A progress bar over the optimizer steps with the latest loss."""

    def __init__(self) -> None:
        columns = (TextColumn("Fine-tuning"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.task = self.bar.add_task("", total=state.max_steps)
        self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.update(self.task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        loss = (logs or {}).get("loss", math.nan)
        if not math.isnan(float(loss)):
            self.bar.update(self.task, description=f"loss {float(loss):.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.stop()


@contextmanager
def quiet() -> Generator[None]:
    """Keeps transformers' own bars and notes off the screen while our bar is on it."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
