"""A cache on disk for what is expensive to build: one folder per configuration, checked by content.

The folder is `REMANENCE_CACHE`, or else the user's cache folder of the platform (Linux: `~/.cache/remanence`).
The name of an entry is a hash of the configuration's class, version and fields, and of whatever else changes the
result: library versions and the CPU instruction set. An entry is written beside its place and then renamed, so it is
whole or absent; `entry.json` holds a digest of every file, so a damaged entry is detected and built again. Processes
that need the same entry at once wait for the one that builds it. Deleting the folder is always safe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
import platformdirs
import torch
import transformers
from filelock import BaseFileLock, FileLock

from remanence.training.reference import preserve_training_state
from remanence.training.tiny import one_thread

T = TypeVar("T")
DESCRIPTION = "entry.json"
_ENTRY = re.compile(r"\w+-[0-9a-f]{16}(\.part)?")


class Configuration(Protocol):
    """A frozen dataclass whose fields decide the content of an entry."""

    version: ClassVar[int]
    """To be raised whenever the builder changes, so that entries built by the old code are not used."""
    __dataclass_fields__: ClassVar[dict[str, Any]]


class Entry(NamedTuple):
    """What is known of one entry of the cache."""

    name: str
    configuration: dict[str, Any]
    size: int
    """Bytes on disk."""
    seconds: float
    """How long it took to build."""


def cached(
    config: Configuration, build: Callable[[], T], save: Callable[[T, Path], None], load: Callable[[Path], T]
) -> T:
    """The value that `build` returns for this configuration, from the cache if it is there.

    `save` writes a value into an empty folder and `load` reads it back; every call returns a new object from `load`.
    `build` runs with one torch thread and leaves all random generators as they were. When the cache cannot be written
    to, the value is built in memory and a `RuntimeWarning` says so.
    """
    description = describe(config)
    folder = cache_folder() / entry_name(config)
    with contextlib.suppress(FileNotFoundError):  # another process may clear the cache at this moment
        if _is_intact(folder, description):
            return load(folder)
    try:
        lock = _lock(folder)
    except OSError as error:
        _warn(error)
        return _undisturbed(build)
    try:
        if _is_intact(folder, description):
            return load(folder)
        start = time.monotonic()
        value = _undisturbed(build)
        try:
            _write(folder, value, save, description, time.monotonic() - start)
        except OSError as error:
            _warn(error)
            return value
        return load(folder)
    finally:
        lock.release()


def cache_folder() -> Path:
    """The folder that holds the entries; it need not exist."""
    chosen = os.environ.get("REMANENCE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("remanence", appauthor=False))


def entry_name(config: Configuration) -> str:
    """The folder name of an entry: the class, and 16 hexadecimal digits of its description."""
    text = json.dumps(describe(config), sort_keys=True)
    return f"{type(config).__name__}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def describe(config: Configuration) -> dict[str, Any]:
    """All that decides an entry's content, as JSON: class, version, fields, libraries and the instruction set."""
    return {
        "class": f"{type(config).__module__}.{type(config).__qualname__}",
        "version": config.version,
        "fields": _plain(config),
        "libraries": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def entries() -> list[Entry]:
    """The entries of the cache, by name; damaged ones are left out."""
    return list(_entries(cache_folder()))


def clear() -> int:
    """Delete every entry of the cache, whole or not, and return how many there were; nothing else is deleted."""
    folder, count = cache_folder(), 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir() and _ENTRY.fullmatch(path.name):
            lock = _lock(path.with_suffix(""))
            try:
                shutil.rmtree(path, ignore_errors=True)
            finally:
                lock.release()
            count += 1
    return count


def _lock(folder: Path) -> BaseFileLock:
    """The lock of an entry, held; the system releases it when a process dies."""
    place = folder.parent / "locks" / f"{folder.name}.lock"
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place)
    lock.acquire()
    return lock


def _entries(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob(f"*/{DESCRIPTION}")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            size = sum(file.stat().st_size for file in path.parent.iterdir())
            yield Entry(path.parent.name, found["description"], size, found["seconds"])
        except (OSError, ValueError, KeyError):
            continue


def _is_intact(folder: Path, description: Mapping[str, Any]) -> bool:
    """Whether the entry is there, belongs to this configuration, and every file is as it was written."""
    try:
        entry = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return entry["description"] == description and entry["files"] == _digests(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digests(folder: Path) -> dict[str, str]:
    """File name -> SHA-256, for every file of an entry but its description."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DESCRIPTION)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _write(
    folder: Path, value: T, save: Callable[[T, Path], None], description: Mapping[str, Any], seconds: float
) -> None:
    """Write an entry beside its place and rename it. The caller holds the lock."""
    part = folder.with_name(f"{folder.name}.part")
    try:
        for leftover in (part, folder):  # of a killed process; damaged
            if leftover.exists():
                shutil.rmtree(leftover)
        part.mkdir()
        save(value, part)
        entry = {"description": description, "files": _digests(part), "seconds": round(seconds, 3)}
        (part / DESCRIPTION).write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        for path in part.rglob("*"):
            if path.is_file():
                with path.open("rb+") as file:
                    os.fsync(file.fileno())
        part.replace(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _undisturbed(build: Callable[[], T]) -> T:
    with one_thread(), preserve_training_state():
        return build()


def _warn(error: OSError) -> None:
    warnings.warn(
        f"Cannot write to the cache {cache_folder()} ({error.strerror or error}), so what an experiment needs is built "
        "again every time: set REMANENCE_CACHE to a folder you can write to.",
        RuntimeWarning,
        stacklevel=3,
    )


def _plain(value: Any) -> Any:
    """A configuration value as JSON. Raises `TypeError` for one whose content is not plain data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class": type(value).__qualname__, **fields}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(item)] for key, item in sorted(value.items())]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a configuration holds plain data; {value!r} is a {type(value).__name__}")
