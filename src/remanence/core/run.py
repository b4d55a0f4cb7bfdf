"""Run: the folder of one run, readable by people, from which a killed process can resume.

`run.json` says what was asked, with seeds, versions and fingerprints and without any path; the tables are Parquet.
Every file is written beside its place and then renamed, so a file is either whole or absent; long tables come in
numbered shards, and a shard that is there is never computed again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from remanence.core.errors import RemanenceError


class Run:
    """A run folder. `Run.open` reads one; `Run.begin` creates or resumes one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """Open an existing run. Raises `RemanenceError` if the folder is not a run."""
        folder = Path(folder)
        if not (folder / "run.json").is_file():
            raise RemanenceError(f"{folder} is not a run folder: it has no run.json.")
        return cls(folder)

    @classmethod
    def begin(cls, folder: Path | str, spec: Mapping[str, Any], *, resume: bool = False) -> Run:
        """A folder for a run with this spec (JSON-ready, no paths).

        A folder that holds another run is refused; one that holds this very run is taken up when `resume` is set.
        """
        folder = Path(folder)
        refuse_taken(folder, resume=resume)
        run = cls(folder)
        text = _json(spec)
        if (folder / "run.json").exists():
            old = run.spec
            if _json(old) != text:
                if old.get("schema") != spec.get("schema"):
                    raise RemanenceError(
                        f"{folder} holds a run of another version of remanence, which can be reported but not resumed: "
                        "name another --out."
                    )
                changed = sorted(k for k in {*old, *spec} if old.get(k) != spec.get(k))
                raise RemanenceError(
                    f"{folder} holds a run with other settings ({', '.join(changed)}): name another --out to keep both."
                )
        with _writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.rglob("*.part"):
                leftover.unlink()
        run.write_text("run.json", text)
        return run

    @property
    def spec(self) -> dict[str, Any]:
        """The content of `run.json`."""
        return self.read_json("run.json")

    def has(self, name: str) -> bool:
        """Whether the run has this file."""
        return (self.folder / name).is_file()

    def write_text(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        with self._place(name) as part:
            part.write_text(text, encoding="utf-8")

    def write_json(self, name: str, value: Any) -> None:
        """Write JSON, keys in the order given."""
        self.write_text(name, _json(value))

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write `NAME.parquet`. The same table gives the same bytes."""
        with self._place(f"{name}.parquet") as part:
            pq.write_table(table, part, compression="zstd")

    def read_table(self, name: str) -> pa.Table:
        """Read `NAME.parquet`; raises `RemanenceError` if the run has no such table."""
        if not self.has(f"{name}.parquet"):
            raise RemanenceError(f"{self.folder.name} has no table {name}: the run was not finished; add --resume.")
        return pq.read_table(self.folder / f"{name}.parquet")

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A table as dicts; for tables of modest size."""
        return self.read_table(name).to_pylist()

    def shards(self, name: str) -> Iterator[pa.Table]:
        """The shards `NAME-00000.parquet`, ... in order."""
        for index in range(1 << 30):
            if not self.has(f"{name}-{index:05d}.parquet"):
                return
            yield self.read_table(f"{name}-{index:05d}")

    @contextlib.contextmanager
    def _place(self, name: str) -> Generator[Path]:
        final = self.folder / name
        part = final.with_name(f"{final.name}.part")
        with _writable(self.folder):
            final.parent.mkdir(parents=True, exist_ok=True)
            yield part
            with part.open("rb+") as handle:
                os.fsync(handle.fileno())
            part.replace(final)


def refuse_taken(folder: Path | str, *, resume: bool = False) -> None:
    """Raise `RemanenceError` for a folder that holds a run (unless it is to be resumed) or something else.

    What a process killed at its very first write leaves behind, `*.part`, is nothing.
    """
    folder = Path(folder)
    if (folder / "run.json").exists():
        if not resume:
            raise RemanenceError(f"{folder} already holds a run: add --resume to go on with it, or name another --out.")
    elif folder.is_dir() and any(path.suffix != ".part" for path in folder.iterdir()):
        raise RemanenceError(f"{folder} is not empty and not a run: name another --out.")


@contextlib.contextmanager
def _writable(folder: Path) -> Generator[None]:
    """Turn an OSError into a `RemanenceError` with one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise RemanenceError(
                f"The disk that holds {folder} is full: free some space and add --resume; what is measured is kept."
            ) from error
        if error.errno in {
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.ENOTDIR,
            errno.EISDIR,
            errno.EEXIST,
            errno.ENOENT,
        }:
            raise RemanenceError(f"Cannot write to {folder}: choose a folder of yours with --out.") from error
        raise


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


class Fingerprint:
    """A `fingerprint` whose parts are added one by one."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, part: bytes) -> None:
        """Add a part."""
        self._digest.update(len(part).to_bytes(8, "little"))
        self._digest.update(part)

    def __str__(self) -> str:
        return self._digest.hexdigest()[:16]


def fingerprint(*parts: bytes) -> str:
    """Short content hash (64 bits of SHA-256) for data, weights and settings."""
    whole = Fingerprint()
    for part in parts:
        whole.add(part)
    return str(whole)
