"""Descriptions for `run.json`: versions, models, data, and a fingerprint of what a model reads. No paths."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from remanence.core.run import fingerprint
from remanence.core.table import Rendered
from remanence.core.target import Target

PACKAGES = ("remanence", "torch", "transformers", "peft", "numpy", "pyarrow", "scikit-learn")
MODEL_FACTS = ("family", "num_parameters", "vocabulary", "host", "cut", "gives")
"""Attributes of a target that `run.json` records where the target has them."""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def model_facts(target: Target) -> dict[str, Any]:
    """Name, fingerprint and whatever else of `MODEL_FACTS` the target knows."""
    facts: dict[str, Any] = {"name": target.name, "fingerprint": target.fingerprint}
    return facts | {name: getattr(target, name) for name in MODEL_FACTS if hasattr(target, name)}


def data_name(data: Any) -> str:
    """Name of the data in `run.json`: the file name without its folder, or the type of the object."""
    return Path(data).name if isinstance(data, str | Path) else type(data).__name__


def rendered_fingerprint(rows: Sequence[Rendered | str]) -> str:
    """Hash of the token ids and loss masks; a different tokenizer or chat template gives a different hash."""

    def content(row: Rendered | str) -> bytes:
        if isinstance(row, str):
            return row.encode()
        source = b"" if row.source is None else row.source.tobytes()
        return b"|".join((row.ids.tobytes(), row.supervised.tobytes(), source))

    return fingerprint(*map(content, rows))
