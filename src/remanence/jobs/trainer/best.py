"""The best model so far, kept in a folder as any fine-tuned model is, and put back into the live one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from remanence.training.callbacks import save_model, silence_transformers
from remanence.training.ranks import broadcast_weights, rank

FOLDER = "remanence-best"
"""In the trainer's `output_dir`: weights (an adapter's alone) as safetensors, and the tokenizer."""


def keep(model: Any, tokenizer: Any, out: Path) -> None:
    """Write the model into `OUT/remanence-best`, in the place of the one that is there."""
    new = out / f"{FOLDER}.new"
    shutil.rmtree(new, ignore_errors=True)
    with silence_transformers():
        save_model(model, tokenizer if tokenizer is not None else _Nothing(), new)
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    new.rename(out / FOLDER)


def put_back(model: Any, out: Path) -> None:
    """Put the weights of `OUT/remanence-best` into the live model, in every process."""
    if rank() == 0:
        _read_into(model, out / FOLDER)
    broadcast_weights(model)


@torch.no_grad()
def _read_into(model: Any, folder: Path) -> None:
    if hasattr(model, "peft_config"):
        from peft import load_peft_weights, set_peft_model_state_dict

        _ = set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
        return
    with silence_transformers():
        best = type(model).from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=model.dtype)
    weights = dict(model.named_parameters())
    for name, weight in best.named_parameters():
        weights[name].copy_(weight)


class _Nothing:
    """Where a trainer has no tokenizer, none is saved."""

    def save_pretrained(self, folder: Path) -> None:
        return
