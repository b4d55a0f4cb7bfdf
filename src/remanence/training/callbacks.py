"""Callbacks of a training: a progress bar, and what is done after every epoch; and how a model is saved."""

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
"""Called with the number of finished epochs (from 1) and the live model in eval mode."""


def checkpoint_folder(out: Path, epoch: int) -> Path:
    """Folder of the model after this epoch: `OUT/checkpoints/epoch-003`."""
    return out / "checkpoints" / f"epoch-{epoch:03d}"


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights (of an adapter only its own) and tokenizer, as `load_model` opens them.

    A new folder appears only when it is complete.
    """
    place = folder if folder.exists() else folder.with_name(f"{folder.name}.part")
    if place != folder:
        shutil.rmtree(place, ignore_errors=True)
    model.save_pretrained(place, **({"save_embedding_layers": False} if hasattr(model, "peft_config") else {}))
    tokenizer.save_pretrained(place)
    (place / "README.md").unlink(missing_ok=True)  # PEFT's empty model card, which contains the base model's path
    if place != folder:
        place.rename(folder)


class EpochEndCallback(TrainerCallback):
    """Calls a function after every finished epoch, in eval mode; later random numbers of the training stay the same."""

    def __init__(self, call: OnEpoch) -> None:
        self.call = call

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        epoch = round(state.epoch)
        if abs(state.epoch - epoch) > 1e-6:
            return  # the last epoch, which is not finished
        model.eval()
        try:
            with torch.random.fork_rng():
                self.call(epoch, model)
        finally:
            model.train()


class ProgressBarCallback(TrainerCallback):
    """A progress bar over the optimizer steps, with the latest loss."""

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
def silence_transformers() -> Generator[None]:
    """Hide the progress bars and messages of transformers."""
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
