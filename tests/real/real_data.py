"""The audit on real rows: stories260K fine-tuned on dialogsum or medical_forum_qa, 60 rows of 500 repeated.

    python tests/real/real_data.py medical_forum_qa OUT [--epochs 12]

Writes OUT/base, OUT/tuned, OUT/train.jsonl, OUT/heldout.jsonl; then audits and prints the tables of the closing note.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
COPIES = (2, 4, 8, 16, 32)


def rows_of(name: str, split: str, shared: Path = SHARED) -> list[dict[str, str]]:
    """Prompt and completion of a data set's split."""
    with gzip.open(shared / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as handle:
        raw = [json.loads(line) for line in handle]
    if name == "dialogsum":
        return [{"prompt": f"{r['dialogue']}\nSummary:", "completion": f" {r['summary']}"} for r in raw]
    return [{"prompt": f"{r['question']}\nAnswer:", "completion": f" {r['answer']}"} for r in raw]


def split(name: str, seed: int, num_rows: int = 500, num_repeated: int = 60, num_heldout: int = 300) -> tuple[Any, Any]:
    """Training rows (repeats as rows of their own, shuffled) and held-out rows of the same file, drawn at random."""
    rng = random.Random(seed)
    rows = [r for r in rows_of(name, "train") if 200 < len(r["completion"]) < 900 or name == "dialogsum"]
    rows = [r for r in rows if len(r["prompt"]) + len(r["completion"]) < 1000]
    rng.shuffle(rows)
    seen: set[str] = set()
    rows = [r for r in rows if not (r["completion"] in seen or seen.add(r["completion"]))]
    train: list[dict[str, str]] = []
    for i, row in enumerate(rows[:num_rows]):
        count = COPIES[i % len(COPIES)] if i < num_repeated else 1
        train += [{"id": f"{name}-{i}" + (f"-copy{c}" if c else ""), **row} for c in range(count)]
    rng.shuffle(train)
    heldout = [{"id": f"heldout-{i}", **row} for i, row in enumerate(rows[num_rows : num_rows + num_heldout])]
    return train, heldout


def write(rows: list[dict[str, str]], path: Path) -> Path:
    """As JSON lines."""
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def main() -> None:
    """Fine-tune, audit, print."""
    from stories260k import convert

    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["dialogsum", "medical_forum_qa"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    train, heldout = split(asked.name, asked.seed)
    base = convert(SHARED / "stories260k_model", out / "base")
    write(train, out / "train.jsonl"), write(heldout, out / "heldout.jsonl")

    import remanence
    from remanence.core.read import read_records
    from remanence.training.finetune import finetune

    began = time.time()
    if not (out / "tuned" / "model.safetensors").exists():
        records = read_records(out / "train.jsonl")
        finetune(
            base, records, out / "tuned", epochs=asked.epochs, learning_rate=asked.rate, max_length=512, seed=asked.seed
        )
        print(f"fine-tuned {len(records)} rows x {asked.epochs:g} epochs in {time.time() - began:.0f} s")
    began = time.time()
    result = remanence.audit(
        out / "tuned", out / "train.jsonl", base=base, heldout=out / "heldout.jsonl", out=out / "run", resume=True
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"audited in {time.time() - began:.0f} s, peak {peak:.2f} GiB")
    print(*result.verdict["sentences"], *result.verdict["notes"], sep="\n")
    tell(result.run)


def tell(run: Any) -> None:
    """The tables of the closing note."""
    for r in run.lines("rates"):
        known = r["excess"] is not None
        excess = f"{r['excess']:.3f} [{r['excess_low']:.3f}, {r['excess_high']:.3f}]" if known else "not measurable"
        sides = f"{r['hits']}/{r['n']}  floor {r['floor_hits']}/{r['floor_n']}  base {r['base_hits']}/{r['base_n']}"
        print(f"{r['metric']:<7}{r['by']:<8}{r['value']:<8}{r['detail']:<22}{sides}  excess {excess}")
    for m in run.lines("membership"):
        if m["fpr"] in (None, 0.01) and m["auc"] is not None:
            tpr = "" if m["tpr"] is None else f"TPR@1% {m['tpr']:.2f}"
            area = f"AUC {m['auc']:.3f} [{m['auc_low']:.3f}, {m['auc_high']:.3f}]"
            print(f"{m['target']:<6}{m['measure']:<18}{area} {tpr}")
    for r in run.lines("ranking")[:10]:
        names = ("rank", "id", "shortest_prefix", "longest_run", "strength", "queries", "copies", "q_value")
        print({k: r[k] for k in names})


if __name__ == "__main__":
    main()
