"""Data files and keys made by hand, for tests of canaries: no model is needed."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from remanence.jobs.canaries.key import Canary, Key

ROWS = [
    {"id": f"row-{i}", "prompt": f'What is "{i}",\nplease?', "completion": f" It is {i * i}; né {i}.", "task": "maths"}
    for i in range(23)
]


def key(num: int = 6, twins: int = 20, *, bands: Sequence[str] = ("low", "high"), form: str = "pair") -> Key:
    """A key whose rows say a number in words; bands in turn."""

    def row(kind: str, i: int) -> dict[str, Any]:
        told = f" the {kind} number {i} of the house"
        if form == "text":
            return {"text": f"Told:{told}"}
        if form == "messages":
            return {"messages": [{"role": "user", "content": "Told?"}, {"role": "assistant", "content": told}]}
        return {"prompt": "Told?", "completion": told, "task": None}

    made = [
        Canary(f"{kind}-{i:04d}", kind, bands[i % len(bands)], 2.0, "of the house", 9.0, 1.0, row(kind, i))
        for kind, count in (("canary", num), ("twin", twins))
        for i in range(count)
    ]
    told = {"bands": [{"name": b, "low": 1.0, "high": 3.0} for b in bands], "candidates": 99, "refused": {}}
    return Key(form, {}, told, made)


def write(path: Path, rows: Sequence[dict[str, Any]] = ROWS, *, end: str = "\n") -> Path:
    """The rows as a file of the kind that its name says."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
        return path
    if name.endswith(".jsonl"):
        text = "".join(json.dumps(row) + end for row in rows)
    else:
        out = io.StringIO()
        writer = csv.DictWriter(
            out, list(rows[0]), delimiter="\t" if name.endswith(".tsv") else ",", lineterminator=end
        )
        writer.writeheader()
        writer.writerows(rows)
        text = out.getvalue()
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path
