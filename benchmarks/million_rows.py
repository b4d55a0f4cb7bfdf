"""A million rows through a streamed audit: resident memory, rows per second, bytes on disk, size of the report.

Rows are generated and written as JSON lines; a stub in place of the model fills the token table by hashing the ids, so
that what is measured is everything but the model. A second part runs the casebook's model of 260 thousand parameters.
Each run is a process of its own; its resident memory is read from /proc as it goes, and its peak from the kernel.

Run: `python benchmarks/million_rows.py` (about ten CPU minutes; with numbers of rows, the stub alone). Figures go to
docs/million-rows.json.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow

HERE = Path(__file__).resolve().parent
FOUND = HERE.parent / "docs" / "million-rows.json"
SIZES = (25_000, 100_000, 1_000_000)
"""All above `StreamSettings.in_memory_rows`, so that the same things are done."""
MODEL_ROWS = (10_000,)
HELDOUT = 2_000
WORDS = 20
VOCABULARY = 4_096


# ------------------------------------------------------------------ rows


def write_rows(path: Path, num: int, prefix: str, seed: int) -> None:
    """`num` texts of 20 numbered words; one row in fifty stands there twice, with ids of their own."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, num, 10_000):
            words = rng.integers(0, VOCABULARY, (min(10_000, num - start), WORDS))
            words[::50] = words[1::50][: len(words[::50])]
            for i, row in enumerate(words.tolist()):
                text = " ".join(f"w{word}" for word in row)
                file.write(f'{{"id": "{prefix}-{start + i}", "text": "{text}", "half": "{(start + i) % 2}"}}\n')


# ------------------------------------------------------------------ the stub


@dataclass(frozen=True)
class Stub:
    """A target whose token table is a hash of the ids: one row in a hundred is known by heart."""

    name: str = "stub"
    fingerprint: str = "0" * 16
    vocabulary: int = VOCABULARY

    def render(self, record: Record) -> Rendered:
        """One token per word."""
        assert record.text is not None
        ids = np.array([int(word[1:]) for word in record.text.split()], np.int32)
        return Rendered(ids, np.ones(ids.size, np.bool_))

    def decode(self, ids: Any) -> str:
        """The words."""
        return " ".join(f"w{i}" for i in ids.tolist())

    def score(self, records: Sequence[Record], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        """Log-probabilities between -8 and 0; greedy where the hash says so. All rows are 20 words long."""
        if not records:
            return
        words = " ".join(record.text or "" for record in records).replace("w", "").split()
        ids_BT = np.array(words, np.int32).reshape(-1, WORDS)
        mixed = (ids_BT.astype(np.uint64) + np.arange(WORDS, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        uniform = (mixed >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
        heart = ids_BT[:, :4].sum(axis=1, keepdims=True) % 100 == 0
        logprob = uniform * np.where(heart, np.float32(-0.01), np.float32(-8.0))
        logprob[:, 0] = np.nan
        rank = np.where(heart | (uniform < 0.3), 0, 5).astype(np.int32)
        rank[:, 0] = -1
        filled = {"logprob": logprob, "rank": rank, "gap": np.where(rank == 0, 1.0, -1.0).astype(np.float32)}
        filled |= {"mean": np.full_like(logprob, -4.0), "std": np.ones_like(logprob)}
        filled |= {c: logprob for c in columns if SamplingScheme.of_column(c) is not None}
        learned = np.ones(WORDS, np.bool_)
        for i, record in enumerate(records):
            row = Rendered(ids_BT[i], learned)
            yield TokenRow(row, {c: filled[c][i] for c in columns}, record.text or "")


# ------------------------------------------------------------------ one run, in a process of its own


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def watch(trace: list[tuple[float, int]], stop: threading.Event) -> None:
    """Note the resident memory until told to stop."""
    began = time.monotonic()
    while not stop.wait(0.5):
        trace.append((round(time.monotonic() - began, 1), resident()))


def child(kind: str, data: str, heldout: str, out: str) -> None:
    """Audit, and say on stdout what it took."""
    from remanence.core.read import Columns, records_from
    from remanence.jobs.audit.large import rows_to_stream
    from remanence.jobs.audit.settings import AuditSettings
    from remanence.jobs.audit.stream import run_stream
    from remanence.report.html import write_report

    settings = AuditSettings(
        prefixes=(0, 4), new_tokens=8, budgets=(4,), schemes=("T=1",), by=("half",), dtype="float32"
    )
    model: Any = Stub()
    base: Any = None
    if kind == "model":
        import torch

        from remanence.corpora.casebook.base_model import base_folder
        from remanence.engine.opening import open_targets

        torch.set_num_threads(1)
        model, base = open_targets(base_folder(), None, settings)
    held = records_from(heldout, group="heldout")
    before = resident()
    trace: list[tuple[float, int]] = []
    stop = threading.Event()
    watcher = threading.Thread(target=watch, args=(trace, stop), daemon=True)
    watcher.start()
    clock, cpu = time.monotonic(), time.process_time()
    audit = run_stream(model, rows_to_stream(data, Columns()), held, base, out, settings, show=False)
    seconds, cpu_seconds = time.monotonic() - clock, time.process_time() - cpu
    streamed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report = write_report(audit.run)
    told = time.monotonic() - clock - seconds
    stop.set()
    watcher.join()
    size = {group: _bytes(Path(out), group) for group in ("blocks/train", "")}
    print(
        json.dumps(
            {
                "kind": kind,
                "rows": audit.run.spec["data"]["train"]["rows"],
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "report_seconds": told,
                "before": before,
                "peak_streaming": streamed,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "trace": trace[:: max(1, len(trace) // 60)],
                "block_bytes": size["blocks/train"],
                "run_bytes": size[""],
                "report_bytes": report.stat().st_size,
                "hits": audit.verdict["headline"]["hits"],
                "n": audit.verdict["headline"]["n"],
            }
        )
    )


def _bytes(folder: Path, prefix: str) -> int:
    return sum(
        p.stat().st_size for p in folder.rglob("*") if p.is_file() and str(p.relative_to(folder)).startswith(prefix)
    )


# ------------------------------------------------------------------ all runs, and the page


def main(sizes: Sequence[int], model_rows: Sequence[int]) -> None:
    """Run everything and write the figures."""
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as work:
        held = Path(work) / "heldout.jsonl"
        write_rows(held, HELDOUT, "heldout", 1)
        for kind, num in [*(("stub", n) for n in sizes), *(("model", n) for n in model_rows)]:
            data, out = Path(work) / "rows.jsonl", Path(work) / "run"
            write_rows(data, num, "row", 0)
            command = [sys.executable, __file__, "child", kind, str(data), str(held), str(out)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                sys.exit(done.stderr)
            one = json.loads(done.stdout.splitlines()[-1]) | {"data_bytes": data.stat().st_size}
            found.append(one)
            print({k: v for k, v in one.items() if k != "trace"}, flush=True)
            shutil.rmtree(out)
    FOUND.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
    else:
        chosen = [int(word) for word in sys.argv[1:]]
        main(chosen or SIZES, [] if chosen else MODEL_ROWS)
