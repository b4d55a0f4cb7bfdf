"""Text store: many texts, in memory or in one file on disk, accessed by number.

On disk: `texts.bin`, all texts in UTF-8 one after another, and `ends.npy`, where each ends; both are mapped, not read.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np


class TextStore:
    """N texts; `TextStore.build` makes one, `TextStore.open` maps one from disk."""

    def __init__(self, data: bytes | mmap.mmap, ends: np.ndarray) -> None:
        self._data = data
        self._ends = ends

    @classmethod
    def build(cls, texts: Iterable[str], folder: Path | None = None) -> TextStore:
        """Keep all texts, read once; with a folder, on disk (what stands there by these names is replaced)."""
        ends, size = array("q"), 0
        if folder is None:
            parts: list[bytes] = []
            for text in texts:
                parts.append(_encoded(text))
                size += len(parts[-1])
                ends.append(size)
            return cls(b"".join(parts), np.array(ends, np.int64))
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "texts.bin.part").open("wb") as file:
            for text in texts:
                size += file.write(_encoded(text))
                ends.append(size)
        with (folder / "ends.npy.part").open("wb") as file:
            np.save(file, np.array(ends, np.int64))
        for name in ("texts.bin", "ends.npy"):  # who has the old ones open keeps them
            (folder / f"{name}.part").replace(folder / name)
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> TextStore:
        """Map what `build` wrote. OSError when it is not there."""
        ends = np.load(folder / "ends.npy", mmap_mode="r", allow_pickle=False)
        with (folder / "texts.bin").open("rb") as file:
            empty = ends.size == 0 or int(ends[-1]) == 0
            return cls(b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), ends)

    def __len__(self) -> int:
        return int(self._ends.size)

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} texts, and no text {number}")
        begin = int(self._ends[number - 1]) if number else 0
        return bytes(self._data[begin : int(self._ends[number])]).decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return (self[number] for number in range(len(self)))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
