"""How the model was trained, so that it can be trained once more without the rows, or in another way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from remanence.core.errors import RemanenceError
from remanence.training.settings import FinetuneSettings

TOLD = "training.json"
"""What `remanence finetune` leaves in a model's folder."""


def read_recipe(given: str | Path | Mapping[str, Any] | FinetuneSettings | None, model: Any) -> FinetuneSettings | None:
    """The settings of the training: as given, from a JSON file, or from the model's own folder; None if unknown.

    A file holds the fields of `FinetuneSettings`, or is a `training.json`. Raises `RemanenceError` for anything else.
    """
    if isinstance(given, FinetuneSettings):
        return given
    if given is None:
        own = Path(model) / TOLD if isinstance(model, str | Path) else None
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
            f"A recipe holds the settings of remanence finetune, like epochs and learning_rate; this one has {named}."
        )
    return FinetuneSettings(**values)
