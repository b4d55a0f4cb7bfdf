"""Every method of `remanence forget` on a leaky model of `leaky.py`: 32 of the rows that come back are to go.

    python tests/real/forget.py LEAKY BASE OUT [--methods ...] [--small]     goes on where it stopped

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
    "check_every": 10, "heldout_rows": 80, "untouched_rows": 60, "generate_rows": 16, "exposure_rows": 12,
    "relearn_steps": 30, "retain_rows": 400,
}  # fmt: skip


SMALL: dict[str, Any] = {
    "heldout_rows": 48, "untouched_rows": 24, "generate_rows": 8, "exposure_rows": 6, "relearn_steps": 12,
    "extra_checks": 1,
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
    ask.add_argument("--table", action="store_true", help="print the table of the run in OUT and do nothing")
    asked = ask.parse_args()
    leaky: Path = asked.leaky
    if asked.table:
        from remanence.core.run import Run

        table(Run.open(asked.out))
        return

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
    """One line a method, as in docs/forgetting.md: what is left, the price, relearning, seconds of its paths."""
    verdict, seconds = run.read_json("verdict.json"), json.loads((run.folder / "seconds.json").read_text())
    back = {(r["model"], r["rows"]): r for r in run.lines("relearned")}
    every = {"before": verdict["before"], "retrained": verdict["retrained"], **verdict["judged"]}
    print("| method | state kept | come back (95 %) | removed | sampled | loss (95 %) | others | AUC | back | s |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, one in every.items():
        if one is None:
            continue
        first = name == "before"
        spent = sum(s for slug, s in seconds.items() if slug.rsplit("-", 1)[0] == name or slug == name)
        state = "" if name in {"before", "retrained"} else f"{one['strength']:g} {one['unit']}"
        setting = "" if name == "retrained" else one["setting"]
        told = back.get((name, "forget"))
        rise = "" if first else f"{_signed(one['rise'])} ({_signed(one['rise_low'])} to {_signed(one['rise_high'])})"
        cells = [
            name, ", ".join(part for part in (setting, state) if part),
            f"{one['hits']}/{one['n']} ({100 * one['low']:.0f} to {100 * one['high']:.0f})",
            "" if first or one["removed"] is None else f"{100 * one['removed']:.1f}", str(one["sampled_hits"]),
            rise, f"{one['untouched_hits']}", f"{one['auc']:.2f}",
            "" if told is None else "never" if told["steps"] is None else str(told["steps"]),
            f"{spent:.0f}" if spent else "",
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |")


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


if __name__ == "__main__":
    main()
