"""Model files on disk: locating them, refusing pickled weights, and a fingerprint of their content.

A pickle runs any code that its author put into it; safetensors files hold numbers only, so only those are read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from remanence.core.errors import RemanenceError
from remanence.core.run import fingerprint

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5")
_VOCABULARIES = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "vocab.txt", "*.model", "*.tiktoken")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WHOLE = 2 << 30
"""Weight files up to this size (bytes) are hashed whole."""
_SAMPLE = 64 << 10
"""Of larger ones, this much of every tensor is hashed: an edit deep inside one tensor can then go unseen."""


def model_folder(name: str | Path, *, allow_network: bool = True) -> Path:
    """The folder of a model: itself, or the local copy of a Hub model, fetched if need be (no pickles, no code)."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() and not (folder / "adapter_config.json").is_file():
            inside = sorted(f.parent.name for f in folder.glob("*/*config.json") if f.name in _CONFIGS)
            remedy = f"name one of the folders in it, {', '.join(inside)}" if inside else "name the one you saved it to"
            raise RemanenceError(f"{name} is no model folder, it has no config.json: {remedy}.")
        return folder
    if folder.exists():
        raise RemanenceError(f"{name} is a file: name the folder that the model was saved to.")
    beside = folder.parent != Path() and folder.parent.is_dir()  # a/b where a is a folder here: a typo, not a Hub name
    if not isinstance(name, str) or beside or not _HUB_NAME.fullmatch(name):
        raise RemanenceError(f"There is no model folder {name}: check the path.")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                name,
                allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.py"],
                ignore_patterns=["*/*", "consolidated*"],
                local_files_only=not allow_network,
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise RemanenceError(
            f"{name!r} is neither a folder here nor a model that can be had from the Hugging Face Hub "
            f"({type(error).__name__}): check the spelling, or name a folder."
        ) from None


_CONFIGS = {"config.json", "adapter_config.json"}


def read_config(file: Path, name: str) -> dict[str, Any]:
    """A JSON file of a model. Raises `RemanenceError` when it cannot be read."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RemanenceError(f"Cannot read {file.name} of {name} ({error}): save or copy the model again.") from None
    if not isinstance(config, dict):
        raise RemanenceError(f"{file.name} of {name} is not a JSON object: save or copy the model again.")
    return cast("dict[str, Any]", config)


def base_of(name: str | Path) -> str | None:
    """The base model that an adapter folder names in its config; None for a model that is no adapter."""
    config = model_folder(name) / "adapter_config.json"
    return read_config(config, title_of(name)).get("base_model_name_or_path") if config.is_file() else None


def base_folder(name: str | Path, base: str | Path | None) -> tuple[Path, str | Path] | None:
    """Where the base model is, and what it was called; a relative path counts from here or from the adapter."""
    if base is not None:
        return model_folder(base), base
    named = base_of(name)
    if not named:
        if (model_folder(name) / "adapter_config.json").is_file():
            raise RemanenceError(f"The adapter {title_of(name)} does not name its base model: give it with --base.")
        return None
    for candidate in (Path(named).expanduser(), model_folder(name) / named, model_folder(name).parent / named):
        if candidate.is_dir():
            return model_folder(candidate), candidate
    try:
        return model_folder(named, allow_network=False), named
    except RemanenceError:
        raise RemanenceError(
            f"The adapter {title_of(name)} was trained on {named}, which is not on this machine: "
            "give its folder, or its Hub name to fetch it, with --base."
        ) from None


def title_of(name: str | Path) -> str:
    """What a model is called in tables: its Hub name, or the last part of its folder."""
    path = Path(name).expanduser()
    return path.resolve().name if path.exists() or isinstance(name, Path) else str(name)


def weight_files(folder: Path, name: str, stem: str = "") -> list[Path]:
    """The safetensors files of a model (`stem` = "adapter" for a PEFT adapter).

    Raises `RemanenceError` when there are none, and when there are only pickled ones.
    """
    files = sorted(folder.glob(f"{stem}*.safetensors"))
    if not stem:
        files = [f for f in files if not f.name.startswith("adapter")]
    if files:
        return files
    kind = "PeftModel" if stem else "model"
    for file in sorted(folder.glob(f"{stem}*")):
        if file.suffix in PICKLES and file.name != "training_args.bin":
            raise RemanenceError(
                f"The weights of {name} are pickled ({file.name}), and a pickle can run any code: where you trust it, "
                f"load the {kind} and call save_pretrained, which writes safetensors."
            )
    raise RemanenceError(f"{name} has no weights ({stem or 'model'}*.safetensors): save the {kind} there again.")


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer was saved in the folder."""
    return any(next(folder.glob(pattern), None) is not None for pattern in _VOCABULARIES)


def weights_fingerprint(files: Iterable[Path], *more: bytes) -> str:
    """Hash of weight files (names left out, order kept) and of what else decides what the model says."""
    return fingerprint(*(_digest(file) for file in files), *more)


def _digest(file: Path) -> bytes:
    with file.open("rb") as handle:
        if file.stat().st_size <= _WHOLE:
            return hashlib.file_digest(handle, "sha256").digest()
        digest = hashlib.sha256(file.stat().st_size.to_bytes(8, "little"))
        size = int.from_bytes(handle.read(8), "little")
        header = handle.read(size)
        digest.update(header)
        for key, tensor in sorted(json.loads(header).items()):
            if key != "__metadata__":
                start, end = tensor["data_offsets"]
                handle.seek(8 + size + start)
                digest.update(handle.read(min(end - start, _SAMPLE)))
        return digest.digest()
