"""Storage of the run index: memory-mapped arrays, and a manifest that is written last.

A folder holds `index.json`, `copies-*.npy`, and one folder per shard: rows that were indexed together, because they fit
into memory together. Shards are named by what is in them, so that a build that was killed, or one of a changed corpus,
finds those that are still right. Nothing is used that the manifest does not name, and it appears by one rename.

Per word on disk: 4 bytes for the word itself, 4 for its slot, 4 for the repeats, 8 for where it stands in the row's
text: 20 bytes; 20 more per row, 8 per exact copy, and about 20 per different word.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, cast
from unicodedata import unidata_version

import numpy as np
from numba import njit
from numpy.typing import NDArray

from remanence.text.run_sort import repeats_before, suffix_order
from remanence.text.words import TOKENIZATION

FORMAT = "runs-1"
MANIFEST = "index.json"
RULES = {"format": FORMAT, "tokenization": TOKENIZATION, "unicode": unidata_version}
"""What must be the same when an index is built and when it is asked."""


class Shard(NamedTuple):
    """S rows with W words of V kinds, of which no two rows have the same words; T = W + S."""

    rows: NDArray[np.int64]
    """[S] number of each row in the corpus, ascending."""
    begins: NDArray[np.int64]
    """[S + 1] where each row begins in the text."""
    text: NDArray[np.int32]
    """[T] the words as 1 .. V; a 0 ends each row."""
    order: NDArray[np.int32]
    """[W] the places of all words in dictionary order of their suffixes."""
    repeats: NDArray[np.int32]
    """[W] see `repeats_before`."""
    vocabulary: NDArray[np.uint64]
    """[V] keys of the words, ascending; word v has key `vocabulary[v - 1]`."""
    firsts: NDArray[np.int64]
    """[V + 3] suffixes that begin with word v have slots `firsts[v] : firsts[v + 1]`; 0 and V + 1 have none."""
    buckets: NDArray[np.int32]
    """[2^b + 1] where in the vocabulary the keys with these upper b bits begin."""
    starts: NDArray[np.int32]
    """[W] first character of each word, in the order of the rows."""
    ends: NDArray[np.int32]
    """[W] one past the last character."""

    @property
    def num_bytes(self) -> int:
        """Size of all arrays."""
        return sum(array.nbytes for array in self)


def build_shard(
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    keys: NDArray[np.uint64],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> Shard:
    """Index rows [S] of `lengths` [S] words (none 0) with the given keys and character places [W]."""
    portions = np.array_split(keys, 1 + (keys.size >> 18))  # each fits into the cache
    vocabulary = np.unique(np.concatenate([np.unique(portion) for portion in portions]))
    bits = max(1, int(vocabulary.size).bit_length())
    edges = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    buckets = np.append(np.searchsorted(vocabulary, edges), vocabulary.size).astype(np.int32)
    begins = np.concatenate(([0], np.cumsum(lengths + 1))).astype(np.int64)
    text = np.zeros(int(begins[-1]), np.int32)
    is_word = np.ones(text.size, np.bool_)
    is_word[begins[1:] - 1] = False
    text[is_word] = look_up(keys, vocabulary, buckets)
    del is_word
    order = suffix_order(text)
    counts = np.bincount(text, minlength=vocabulary.size + 2)
    counts[0] = 0
    firsts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    shard = Shard(rows, begins, text, order, repeats_before(text, order), vocabulary, firsts, buckets, starts, ends)
    for array in shard:
        array.setflags(write=False)  # as those that are mapped from disk: one compiled kernel serves both
    return shard


@njit(nogil=True, cache=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def look_up(keys: Any, vocabulary: Any, buckets: Any) -> Any:
    """[W] the numbers 1 .. V of the words with these keys; V + 1 for one that the vocabulary does not have."""
    numbers = np.empty(keys.size, np.int32)
    shift = np.uint64(64)
    size = buckets.size - 1
    while size > 1:
        size >>= 1
        shift -= np.uint64(1)
    for i in range(keys.size):
        bucket = keys[i] >> shift
        at, end = buckets[bucket], buckets[bucket + 1]
        while at < end and vocabulary[at] < keys[i]:
            at += 1
        numbers[i] = at + 1 if at < end and vocabulary[at] == keys[i] else vocabulary.size + 1
    return numbers


def shard_name(
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    keys: NDArray[np.uint64],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> str:
    """Folder of a shard: a digest of all that it is built from."""
    digest = blake2b(json.dumps(RULES, sort_keys=True).encode(), digest_size=16)
    for array in (rows, lengths, keys, starts, ends):
        digest.update(array.view(np.uint8).data)
    return f"shard-{digest.hexdigest()}"


def save_shard(shard: Shard, folder: Path) -> None:
    """Write a shard beside its place and move it there in one go."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, array in shard._asdict().items():
        save_array(array, part / f"{name}.npy")
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def is_whole(folder: Path) -> bool:
    """Whether a shard lies there with all its bytes."""
    try:
        open_shard(folder)
    except (OSError, ValueError):
        return False
    return True


def open_shard(folder: Path) -> Shard:
    """A shard whose arrays stay on disk until they are asked."""
    return Shard(**{name: open_array(folder / f"{name}.npy") for name in Shard._fields})


def save_array(array: NDArray[Any], path: Path) -> None:
    """Write an array and wait until it lies on the disk, so that a rename never precedes its content."""
    with path.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)
        handle.flush()
        os.fsync(handle.fileno())


def open_array(path: Path) -> NDArray[Any]:
    """An array mapped from disk, read only."""
    return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)


def write_manifest(folder: Path, manifest: dict[str, Any], copies: NDArray[np.int64]) -> None:
    """Make an index whole: from here on it is what the folder holds, and what it does not name is removed."""
    name = f"copies-{manifest['fingerprint']}.npy"
    save_array(copies, folder / "copies.part")
    (folder / "copies.part").replace(folder / name)
    listed = [name, *(f"{shard}/{field}.npy" for shard in manifest["shards"] for field in Shard._fields)]
    whole = {**RULES, **manifest, "bytes": {path: (folder / path).stat().st_size for path in listed}}
    part = folder / f"{MANIFEST}.part"
    part.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(folder / MANIFEST)
    for path in folder.iterdir():
        if path.name.startswith("shard-") and path.name not in manifest["shards"]:
            shutil.rmtree(path)
        elif path.name.startswith("copies-") and path.name != name:
            path.unlink()


def refuse_foreign(folder: Path) -> None:
    """ValueError for a folder that holds anything but a run index or the beginnings of one."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.name.startswith((MANIFEST, "shard-", "copies")):
            raise ValueError(
                f"{folder} holds {path.name}, which is no part of a run index; name an empty or new folder"
            )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished index. ValueError where there is none, or one that this version cannot use."""
    try:
        manifest = cast("dict[str, Any]", json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ValueError(
            f"{folder} holds no finished run index; build one with RunIndex.build(texts, folder)"
        ) from None
    for name, rule in RULES.items():
        if manifest.get(name) != rule:
            raise ValueError(
                f"the run index in {folder} was made with {name} {manifest.get(name)}, this version has {rule}; "
                "build it again with RunIndex.build(texts, folder)"
            )
    for path, size in manifest["bytes"].items():
        if not (folder / path).is_file() or (folder / path).stat().st_size != size:
            raise ValueError(
                f"{path} of the run index in {folder} is damaged; RunIndex.build(texts, folder) repairs it"
            )
    return manifest
