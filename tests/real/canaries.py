"""Exposure curves on real e-mails: canaries planted 1, 4 and 16 times in `aeslc`, a small model trained on them.

    python tests/real/canaries.py BASE OUT [--seeds 0,1,2]

BASE is a model folder (`stories260k.py`). For each seed: OUT/SEED/rows.jsonl, canaries made from its shape, planted,
a model trained on both (`remanence finetune`), an audit of the canaries, and the canaries taken out again. What all
seeds say together stands in OUT/curves.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from leaky import draw


def one_seed(base: Path, out: Path, seed: int, asked: argparse.Namespace) -> Any:
    """Make, plant, train, audit, remove; what is there already is taken up."""
    import remanence

    out.mkdir(parents=True, exist_ok=True)
    data, planted, made = out / "rows.jsonl", out / "planted.jsonl", out / "canaries.json"
    train, heldout = draw("aeslc", seed, asked.rows, 0, 100)
    for name, rows in (("rows", train), ("heldout", heldout)):
        (out / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    began = time.process_time()
    if not made.exists():
        key = remanence.make_canaries(
            base, data, out=made, canaries=asked.canaries, controls=asked.controls,
            max_tokens=40, max_length=192, seed=seed,
            secret=asked.secret, digits=2, show_progress=False,
        )  # fmt: skip
        print(key.summary(), f"made in {time.process_time() - began:.0f} CPU s", sep="\n", flush=True)
    if not planted.exists():
        print(remanence.plant_canaries(data, made, copies=(1, 4, 16), out=planted, seed=seed).text(), flush=True)
    if not (out / "model" / "model.safetensors").exists():
        began = time.process_time()
        trained = remanence.finetune(
            base, planted, heldout=out / "heldout.jsonl", out=out / "model", epochs=asked.epochs,
            learning_rate=asked.rate, max_length=192, seed=seed, resume=True, show_progress=False,
        )  # fmt: skip
        print(trained.text(), f"trained in {time.process_time() - began:.0f} CPU s", sep="\n", flush=True)
    began = time.process_time()
    result = remanence.audit_canaries(
        out / "model", out / "planted.key.json", base=base, out=out / "run", max_length=192, seed=seed, resume=True,
        show_progress=False,
    )  # fmt: skip
    print(f"audited in {time.process_time() - began:.0f} CPU s", *result.verdict["sentences"], sep="\n", flush=True)
    if not (out / "back.jsonl").exists():
        print(remanence.remove_canaries(planted, out / "planted.key.json", out=out / "back.jsonl").text(), flush=True)
    assert (out / "back.jsonl").read_bytes() == data.read_bytes()
    return result


def together(results: list[Any], seed: int) -> list[dict[str, Any]]:
    """Counts over all seeds, by target and copies, with intervals over canaries."""
    from remanence.stats.intervals import bootstrap
    from remanence.stats.rates import Rate

    lines = [line for result in results for line in result.run.lines("exposures") if line["measure"] == "loss"]
    found: list[dict[str, Any]] = []
    for target in ("tuned", "base"):
        for copies in sorted({line["copies"] for line in lines}):
            those = [x for x in lines if x["target"] == target and x["copies"] == copies]
            line: dict[str, Any] = {"target": target, "copies": copies}
            for name in ("exposure", "counted"):
                values = np.array([x[name] for x in those if x[name] is not None])
                if values.size:
                    low, high = bootstrap(values, np.mean, seed)
                    line |= {
                        name: float(values.mean()),
                        f"{name}_low": low,
                        f"{name}_high": high,
                        f"{name}_n": values.size,
                    }
            said = Rate.of([bool(x["secret_back"]) for x in those if x["secret_back"] is not None])
            line |= {"said": said.hits, "of": said.n, "said_low": said.low, "said_high": said.high}
            line["first"] = sum(x["rank"] == 1 for x in those)
            found.append(line)
    return found


def main() -> None:
    """All seeds, then what they say together."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("base", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--seeds", default="0,1,2")
    ask.add_argument("--rows", type=int, default=300)
    ask.add_argument("--canaries", type=int, default=12)
    ask.add_argument("--controls", type=int, default=96)
    ask.add_argument("--secret", default="words")
    ask.add_argument("--epochs", type=int, default=3)
    ask.add_argument("--rate", type=float, default=2e-3)
    asked = ask.parse_args()
    import torch

    torch.set_num_threads(1)
    seeds = [int(one) for one in asked.seeds.split(",")]
    results = [one_seed(asked.base, asked.out / str(seed), seed, asked) for seed in seeds]
    curves = together(results, 0)
    (asked.out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")
    for line in curves:
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()})


if __name__ == "__main__":
    main()
