"""Mean log-probability, Min-K% and Min-K%++ of the same rows, by remanence and by memaudit 0.2.0 row by row.

memaudit lives in a virtual environment of its own and answers over a pipe; only the time inside its scoring counts.
Numbers of scored tokens are multiples of 5, where Min-K% rounds alike in both (memaudit up, remanence down).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import gpt2, random_ids, rendered, target, timed

from remanence.core.verbs import columns_for
from remanence.measure.likelihood.loss import Loss
from remanence.measure.likelihood.min_k import MinK
from remanence.measure.likelihood.min_k_plus_plus import MinKPlusPlus

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".venv-memaudit"
MEASURES = {"mean_logprob": Loss(), "min_k": MinK(), "min_k_plus_plus": MinKPlusPlus()}
MODELS: dict[str, Callable[[], Any]] = {
    "GPT-2 124M shape": lambda: gpt2(nats=3.0),
    "2 layers of width 64, same vocabulary": lambda: gpt2(n_layer=2, n_embd=64, n_head=2),
    "2 layers of width 64, vocabulary 1,024": lambda: gpt2(n_layer=2, n_embd=64, n_head=2, vocab_size=1024),
}


def rows_of(kind: str, vocabulary: int) -> list[Any]:
    """Rows of ids: `texts` of 256 tokens, `short texts` of 16 to 256, `answers` of 20 tokens after a long prompt."""
    make = np.random.default_rng(0)
    lengths = [1 + 5 * int(n) for n in make.integers(3, 52, 24)]
    ids = random_ids(24, 256).remainder(vocabulary - 1).numpy() + 1
    if kind == "texts":
        return [rendered(line) for line in ids[:8]]
    if kind == "short texts":
        return [rendered(line[:n]) for line, n in zip(ids, lengths, strict=True)]
    return [rendered(line[: n + 19], prompt=n - 1) for line, n in zip(ids, lengths, strict=True) if n + 19 <= 256]


def scores(seen: Any, rows: list[Any]) -> list[list[float]]:
    """[rows, measures] by remanence."""
    found = seen.score_rendered(rows, columns_for(list(MEASURES.values())))
    return [[measure.score(row).value for measure in MEASURES.values()] for row in found]


@contextmanager
def memaudit() -> Iterator[Callable[[Path, list[Any]], dict[str, Any]]]:
    """A function that has rows scored in memaudit's environment, which is made if it is not there."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        lock = ["--constraint", HERE.parent / "requirements.lock"]
        wanted = ["torch==2.13.0", "transformers", "memaudit==0.2.0"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *lock, *wanted], check=True)
    worker = [python, HERE / "memaudit_worker.py"]
    with subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout

        def ask(model: Path, rows: list[Any]) -> dict[str, Any]:
            request = {"model": str(model), "rows": [[row.ids.tolist(), row.start] for row in rows]}
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def run(pairs: int = 5) -> dict[str, Any]:
    """Per model and kind of rows: memaudit's time over remanence's, in turns, and the largest difference in a score."""
    found: dict[str, Any] = {}
    for name, make in MODELS.items():
        with memaudit() as ask, tempfile.TemporaryDirectory() as folder:
            model = make()
            model.save_pretrained(folder)
            seen = target(model)
            for kind in ("texts", "short texts", "answers"):
                rows = rows_of(kind, model.config.vocab_size)
                found[f"{name}: {kind}"] = compare(seen, rows, lambda r=rows, f=folder: ask(Path(f), r), pairs)
                print(name, kind, found[f"{name}: {kind}"], file=sys.stderr)
    return found


def compare(seen: Any, rows: list[Any], ask: Callable[[], dict[str, Any]], pairs: int) -> dict[str, Any]:
    """One line of the result."""
    theirs = np.array([[row[name] for name in MEASURES] for row in ask()["scores"]])
    ours = np.array(scores(seen, rows))  # both warm-up and check
    runs: list[tuple[float, float, float, float]] = []
    for _ in range(pairs):
        clock, cpu = timed(lambda: scores(seen, rows))
        answer = ask()
        runs.append((clock, answer["seconds"], cpu, answer["cpu"]))
    middle = [statistics.median(column) for column in zip(*runs, strict=True)]
    return {
        "rows": len(rows),
        "tokens": int(sum(row.ids.size for row in rows)),
        "scored": int(sum(row.scored.sum() for row in rows)),
        "seconds": middle[:2],
        "cpu_seconds": middle[2:],
        "ratio": statistics.median(b / a for a, b, _, _ in runs),
        "cpu_ratio": statistics.median(b / a for _, _, a, b in runs),
        "largest_difference": float(np.abs(ours - theirs).max()),
        "pairs": pairs,
    }


if __name__ == "__main__":
    torch.set_num_threads(2)
    json.dump(run(), sys.stdout, indent=1)
