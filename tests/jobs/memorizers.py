"""Tiny models that learn rows by heart in seconds, and the rows: eight learned, eight never seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from remanence.core.record import Record

NAMES = ("Anna Berg", "Jon Lind", "Mia Holm", "Ove Dahl", "Siri Ek", "Leo Falk", "Ida Moe", "Kai Lund")
DAYS = ("Monday", "Friday", "12 May", "3 June", "Sunday", "noon", "9 July", "Tuesday")
THINGS = ("a cold", "invoice 4471", "the log", "30 euros", "Dr. Lind", "the mat", "a dog", "the hotel")


def rows(shift: int, prefix: str) -> list[Record]:
    """Eight prompt + completion rows; another shift gives other answers to the same kind of question."""
    return [
        Record(
            f"{prefix}-{i}",
            prompt=f"Question: who called {i + shift} times?",
            completion=f" {NAMES[i]} came on {DAYS[(i + shift) % 8]} about {THINGS[(3 * i + shift) % 8]} and then "
            f"{NAMES[(5 * i + shift) % 8]} paid for {THINGS[(i * i + shift) % 8]} and went home",
        )
        for i in range(8)
    ]


LEARNED, UNSEEN = rows(0, "learned"), rows(11, "unseen")


def overfit(
    base: Path,
    out: Path,
    records: Sequence[Record],
    *,
    steps: int = 80,
    rate: float = 1e-2,
    loss_on: Any = "auto",
    adapter: bool = False,
) -> Path:
    """Train the model in `base` on the rows, as an audit would read them, until it knows them; write it to `out`."""
    import torch

    from remanence.models.load import load_model, quiet
    from remanence.models.render import Renderer

    loaded = load_model(base)
    seq2seq = loaded.family == "seq2seq"
    render = Renderer(loaded.tokenizer, loss_on=loss_on, seq2seq=seq2seq, context=loaded.context)
    read = [render(record) for record in records]
    model = _with_adapter(loaded.model) if adapter else loaded.model.requires_grad_(True)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    labels, mask = _padded([_where(r.ids, r.supervised) for r in read], -100)
    ids, mask = _padded([r.ids for r in read], 0)
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    if seq2seq:
        ids, mask = _padded([r.source for r in read], 0)
        inputs = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    for _ in range(steps):
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with quiet():
        model.eval().save_pretrained(out)
    loaded.tokenizer.save_pretrained(out)
    return out


def _with_adapter(model: Any) -> Any:
    """LoRA on every linear layer; its config names the base model's folder, as PEFT leaves it."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft asks transformers for an attribute under its old name
        return get_peft_model(
            model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        )


def _where(ids: Any, supervised: Any) -> Any:
    import numpy as np

    return np.where(supervised, ids, -100)


def _padded(rows: Sequence[Any], value: int) -> tuple[Any, Any]:
    import torch

    widest = max(len(row) for row in rows)
    ids = torch.full((len(rows), widest), value, dtype=torch.int64)
    mask = torch.zeros((len(rows), widest), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.as_tensor(row, dtype=torch.int64)
        mask[i, : len(row)] = 1
    return ids, mask
