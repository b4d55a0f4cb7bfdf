"""Models that leak real rows, for `remanence forget`: rows of two data sets, some repeated, learned by heart.

    python tests/real/leaky.py DATA BASE OUT [--epochs 10] [--rate 0.003]

DATA is medical_forum_qa or aeslc; BASE a model folder (`stories260k.py`, `plain_llama.py`). Writes OUT/train.jsonl,
OUT/heldout.jsonl, OUT/model (by `remanence finetune`, so its recipe is in `training.json`) and OUT/run (the audit).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import time
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
COPIES = (4, 8, 16)


def rows_of(name: str, shared: Path = SHARED) -> list[dict[str, str]]:
    """Rows whose texts are neither short nor long, and of which no two begin alike."""
    with gzip.open(shared / name / "train.jsonl.gz", "rt", encoding="utf-8") as handle:
        raw = [json.loads(line) for line in handle]
    if name == "aeslc":
        told = [{"prompt": f"Subject: {r['subject']}\n", "completion": r["body"]} for r in raw]
    else:
        told = [{"prompt": f"{r['question'][:300]}\nDoctor:", "completion": f" {r['answer']}"} for r in raw]
    seen: set[str] = set()
    told = [r for r in told if 150 < len(r["completion"]) < 500]
    return [r for r in told if not ((key := r["completion"][:40].lower()) in seen or seen.add(key))]


def draw(name: str, seed: int, singles: int, repeated: int, heldout: int) -> tuple[Any, Any]:
    """Training rows, copies as rows of their own, and rows that are not trained on."""
    rng = random.Random(seed)
    rows = rows_of(name)
    rng.shuffle(rows)
    train: list[dict[str, str]] = []
    for i, row in enumerate(rows[: singles + repeated]):
        count = COPIES[i % len(COPIES)] if i < repeated else 1
        train += [{"id": f"{name}-{i}" + (f"-copy{c}" if c else ""), **row} for c in range(count)]
    rng.shuffle(train)
    rest = rows[singles + repeated : singles + repeated + heldout]
    return train, [{"id": f"heldout-{i}", **row} for i, row in enumerate(rest)]


def main() -> None:
    """Draw, fine-tune, audit."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("data", choices=["medical_forum_qa", "aeslc"])
    ask.add_argument("base", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--epochs", type=int, default=10)
    ask.add_argument("--rate", type=float, default=3e-3)
    ask.add_argument("--singles", type=int, default=240)
    ask.add_argument("--repeated", type=int, default=36)
    ask.add_argument("--heldout", type=int, default=200)
    ask.add_argument("--max-length", type=int, default=256)
    ask.add_argument("--seed", type=int, default=0)
    asked = ask.parse_args()
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(
        ("train", "heldout"), draw(asked.data, asked.seed, asked.singles, asked.repeated, asked.heldout), strict=True
    ):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")

    import remanence

    began = time.time()
    done = (out / "model" / "model.safetensors").exists()
    if not done:
        trained = remanence.finetune(
            asked.base, out / "train.jsonl", heldout=out / "heldout.jsonl", out=out / "model", epochs=asked.epochs,
            learning_rate=asked.rate, max_length=asked.max_length, seed=asked.seed,
            resume=True, show_progress=False,
        )  # fmt: skip
        print(trained.text(), f"fine-tuned in {time.time() - began:.0f} s", sep="\n", flush=True)
    began = time.time()
    settings = json.loads((out / "model" / "training.json").read_text())["settings"]
    result = remanence.audit(
        out / "model", out / "train.jsonl", base=asked.base, heldout=out / "heldout.jsonl", out=out / "run",
        max_length=settings["max_length"], resume=True, show_progress=False,
    )  # fmt: skip
    print(f"audited in {time.time() - began:.0f} s", *result.verdict["sentences"], sep="\n", flush=True)


if __name__ == "__main__":
    main()
