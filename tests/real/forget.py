"""Every method of `remanence forget` on a leaky model of `leaky.py`: 32 of the rows that come back are to go.

    python tests/real/forget.py LEAKY OUT [--methods ...] [--resume]

The other rows that come back stay, so that one sees whether only what was asked for is forgotten.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

AFTER = "gradient_ascent,gradient_difference,kl_retain,npo,simnpo,rmu,task_vector,localized,constrained,fusion,memfree"
BEFORE = "goldfish,deduplicate,early_stopping,cit,dp_sgd"
NUMBER = 32
SIZES: dict[str, Any] = {
    "check_every": 10, "heldout_rows": 80, "untouched_rows": 60, "asked_rows": 16, "exposure_rows": 12,
    "relearn_steps": 30, "retain_rows": 400,
}  # fmt: skip


SMALL: dict[str, Any] = {
    "heldout_rows": 48, "untouched_rows": 24, "asked_rows": 8, "exposure_rows": 6, "relearn_steps": 12, "beyond": 1,
}  # fmt: skip


def main() -> None:
    """Pick rows, forget them, print the table."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("leaky", type=Path)
    ask.add_argument("base", type=Path)
    ask.add_argument("out", type=Path)
    ask.add_argument("--methods", default=f"auto,{AFTER}")
    ask.add_argument("--steps", type=int, default=60)
    ask.add_argument("--rates", default="")
    ask.add_argument("--batch-size", type=int, default=8)
    ask.add_argument("--small", action="store_true", help="look at fewer rows, for the larger model")
    ask.add_argument("--no-retrain", action="store_true")
    asked = ask.parse_args()
    leaky: Path = asked.leaky

    import torch

    import remanence
    from remanence.core.run import Run

    torch.set_num_threads(1)
    run = Run.open(leaky / "run")
    back = [r["id"] for r in run.lines("ranking") if r["comes_back"]]
    rows = sorted(random.Random(0).sample(back, min(NUMBER, len(back))))
    settings = {k: v for k, v in run.spec["settings"].items() if k in {"max_length", "loss_on", "add_eos"}}
    began = time.time()
    result = remanence.forget(
        leaky / "model", leaky / "train.jsonl", forget=rows, heldout=leaky / "heldout.jsonl", base=asked.base,
        out=asked.out, methods=tuple(asked.methods.split(",")), steps=asked.steps, batch_size=asked.batch_size,
        retrain=not asked.no_retrain,
        learning_rates=tuple(float(r) for r in asked.rates.split(",") if r), resume=True,
        show_progress=sys.stderr.isatty(), **(SIZES | (SMALL if asked.small else {})), **settings,
    )  # fmt: skip
    print(*result.verdict["sentences"], *result.verdict["notes"], sep="\n")
    print(f"{len(rows)} of {len(back)} rows that come back were to go; {time.time() - began:.0f} s")
    table(result.run)


def table(run: Any) -> None:
    """One line a method: before and after, price, relearning, seconds."""
    verdict, seconds = run.read_json("verdict.json"), json.loads((run.folder / "seconds.json").read_text())
    back = {(r["model"], r["rows"]): r["steps"] for r in run.lines("relearned")}
    every = {"before": verdict["before"], "retrained": verdict["retrained"], **verdict["judged"]}
    for name, one in every.items():
        if one is None:
            continue
        spent = sum(s for slug, s in seconds.items() if slug.rsplit("-", 1)[0] == name or slug == name)
        print(
            f"| {name} | {one['setting']} | {one['strength']:g} {one['unit']} | {one['hits']}/{one['n']} | "
            f"{one['removed'] if one['removed'] is None else round(100 * one['removed'], 1)} | "
            f"{one['rise'] if one['rise'] is None else round(100 * one['rise'], 1)} | {one['within']} | "
            f"{one['untouched_hits']}/{one['untouched_n']} | {one['auc']:.2f} | "
            f"{back.get((name, 'forget'))} / {back.get((name, 'benign'))} | {spent:.0f} |"
        )


if __name__ == "__main__":
    main()
