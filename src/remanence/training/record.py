"""What `training.json` records about a training: base model, rows, split, loss and result; and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, cast

import torch

from remanence.core.errors import RemanenceError
from remanence.core.read import data_fingerprint
from remanence.core.record import Records
from remanence.models.load import Loaded
from remanence.models.weights import weight_files, weights_fingerprint
from remanence.training.finetune import Trained
from remanence.training.prepare import Dropped, Prepared
from remanence.training.settings import FinetuneSettings
from remanence.training.split import Split

_FORMS = {"id", "text", "prompt", "completion", "messages"}


def as_jsonl(records: Records) -> str:
    """The records as JSON lines that `remanence audit` reads, with all further columns."""
    lines: list[str] = []
    for record in records:
        words = {"text": record.text, "prompt": record.prompt, "completion": record.completion}
        fields: dict[str, Any] = {"id": record.id, **{k: v for k, v in words.items() if v is not None}}
        if record.messages is not None:
            fields["messages"] = [dict(turn) for turn in record.messages]
        fields |= {k: v for k, v in record.meta.items() if k not in _FORMS}
        lines.append(json.dumps(fields, ensure_ascii=False, default=str) + "\n")
    return "".join(lines)


def describe_data(name: str, records: Records) -> dict[str, Any]:
    """Name (without folder), number of rows and fingerprint of the data."""
    return {"name": name, "rows": len(records), "fingerprint": data_fingerprint(records)}


def describe_base(loaded: Loaded) -> dict[str, Any]:
    """The model before training."""
    return {
        "name": loaded.name,
        "fingerprint": loaded.fingerprint,
        "family": loaded.family,
        "parameters": loaded.num_parameters,
        "context": loaded.context,
    }


def describe_split(split: Split, settings: FinetuneSettings, given: dict[str, Any] | None) -> dict[str, Any]:
    """Ids on both sides of the split, including rows that were dropped later."""
    return {
        "made": "before training, by distinct row" if given is None else "before training, by the user",
        "given": given,
        "share": settings.heldout_share if given is None else None,
        "seed": settings.seed,
        "distinct_rows": split.num_groups or None,
        "train": [record.id for record in split.train],
        "heldout": [record.id for record in split.heldout],
    }


def describe_loss(records: Records, settings: FinetuneSettings) -> str:
    """Whether inputs are learned too."""
    kind = settings.loss_on
    if kind == "auto":
        kind = "completion" if all(record.form == "pair" for record in records) else "all"
    return "loss on inputs and outputs" if kind == "all" else "loss on outputs only"


def describe_rows(
    train: Prepared, held: Prepared, duplicates: Sequence[Dropped], settings: FinetuneSettings
) -> dict[str, Any]:
    sides = (("train", train.dropped), ("heldout", [*held.dropped, *duplicates]))
    return {
        "train": len(train.rows),
        "heldout": len(held.rows),
        "passes_per_row": int(settings.epochs),
        "tokens": train.num_tokens,
        "learned_tokens": train.num_learned,
        "cut": train.num_cut_rows,
        "cut_tokens": train.num_cut_tokens,
        "cut_learned_tokens": train.num_cut_learned,
        "dropped": [{"id": row.id, "side": side, "why": row.why} for side, rows in sides for row in rows],
    }


def describe_result(trained: Trained, folder: Path) -> dict[str, Any]:
    adapter = (folder / "adapter_config.json").is_file()
    return {
        "steps": trained.epochs[-1].steps,
        "sequences_per_epoch": trained.num_sequences,
        "trained_parameters": trained.num_trainable,
        "device": trained.device,
        "threads": torch.get_num_threads(),
        "weights": weights_fingerprint(weight_files(folder, folder.name, *(["adapter"] if adapter else []))),
        "epochs": [epoch._asdict() for epoch in trained.epochs],
    }


def training_notes(settings: FinetuneSettings) -> list[str]:
    """What an audit of this model does not see, and settings that reduce memorization by themselves."""
    notes: list[str] = []
    if settings.packing == "wrapped":
        notes.append(
            f"Rows were joined end to end in packs of {settings.max_length} tokens: some are cut in two, and most read "
            "the rows before them. An audit reads every row alone, unlike the training."
        )
    if settings.packing == "bfd":
        notes.append(
            f"Several rows share a pack of {settings.max_length} tokens; none is cut, and none sees another as long as "
            "the model's attention goes by position ids, as in transformers' own."
        )
    if settings.group_by_length:
        notes.append("Copies of a row tend to be in one batch, which reduces their memorization.")
    return notes


def collator_name(collator: Any) -> str:
    """Name of a collator: the settings of the object it belongs to, or the name of the function.

    The training parameters and the output folder of a mitigation are left out: this training has its own.
    """
    owner = getattr(collator, "__self__", None)
    if is_dataclass(owner) and not isinstance(owner, type):
        settings = {k: v for k, v in asdict(cast("Any", owner)).items() if k not in {"training", "out"}}
        return f"{type(owner).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"
    return str(getattr(collator, "__qualname__", type(collator).__name__))


TRAINING_FILE = "training.json"
"""The record that `remanence finetune` writes into the model folder."""


def read_recipe(given: str | Path | Mapping[str, Any] | FinetuneSettings | None, model: Any) -> FinetuneSettings | None:
    """The settings of the training: as given, from a JSON file, or from the model's own folder; None if unknown.

    A file holds the fields of `FinetuneSettings`, or is a `training.json`. Raises `RemanenceError` for anything else.
    """
    if isinstance(given, FinetuneSettings):
        return given
    if given is None:
        own = Path(model) / TRAINING_FILE if isinstance(model, str | Path) else None
        if own is None or not own.is_file():
            return None
        given = own
    if isinstance(given, str | Path):
        try:
            read: Any = json.loads(Path(given).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RemanenceError(f"Cannot read the recipe {Path(given).name}: {error}.") from None
    else:
        read = dict(given)
    values = cast("dict[str, Any]", read.get("settings", read) if isinstance(read, dict) else {})
    known = {f.name for f in fields(FinetuneSettings)}
    wrong = sorted(set(values) - known)
    if wrong or not values:
        named = repr(wrong[0]) if wrong else "nothing"
        raise RemanenceError(
            f"A recipe has the settings of remanence finetune, such as epochs and learning_rate; this one has {named}."
        )
    return FinetuneSettings(**values)
