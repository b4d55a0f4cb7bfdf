"""Where data sets and pre-trained models of the user's own lie; nothing is ever downloaded.

`REMANENCE_DATA` names a folder that holds data sets, `REMANENCE_PRETRAINED` one that holds models in subfolders
(`smollm2/`, `flan-t5/`, `gemma3/`, or any other name), each an ordinary Hugging Face folder with `config.json`.
"""

from __future__ import annotations

import os
from pathlib import Path

from remanence.core.errors import RemanenceError

DATA, PRETRAINED = "REMANENCE_DATA", "REMANENCE_PRETRAINED"


def pretrained(name: str | Path) -> Path:
    """The folder of a pre-trained model: a path, or the name of a subfolder of `REMANENCE_PRETRAINED`.

    Raises `RemanenceError` if there is no model there.
    """
    given = Path(name).expanduser()
    if _holds_model(given) and (given.is_absolute() or len(given.parts) > 1):
        return given
    parent = os.environ.get(PRETRAINED)
    if not parent:
        raise RemanenceError(
            f"The pre-trained model {str(name)!r} is not a model folder, and {PRETRAINED} is not set: give the path of "
            f"a folder with config.json, or set {PRETRAINED} to the folder that holds {given.name}/."
        )
    folder = Path(parent).expanduser() / given
    if not _holds_model(folder):
        raise RemanenceError(
            f"{folder} has no config.json: put the model {str(name)!r} there as a Hugging Face folder (config, "
            f"tokenizer, safetensors), or set {PRETRAINED} to the folder that holds it."
        )
    return folder


def has_pretrained(name: str | Path) -> bool:
    """Whether `pretrained` finds the model, for tests and experiments that need it."""
    try:
        pretrained(name)
    except RemanenceError:
        return False
    return True


def data_set(name: str) -> Path:
    """The folder of a data set, a subfolder of `REMANENCE_DATA`. Raises `RemanenceError` if it is not there."""
    parent = os.environ.get(DATA)
    if not parent:
        raise RemanenceError(f"The data set {name!r} is not shipped: set {DATA} to the folder that holds {name}/.")
    folder = Path(parent).expanduser() / name
    if not folder.is_dir():
        raise RemanenceError(f"{folder} is not a folder: put the data set {name!r} there, or correct {DATA}.")
    return folder


def _holds_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()
