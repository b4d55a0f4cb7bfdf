"""A study folder as the engine writes it: five tasks, two models, three seeds, attention, with made-up numbers.

The numbers come from a seeded generator and mean nothing; the tables have all their columns, some cells cannot be
measured, an encoder-decoder has no input side, one task has an arm with LoRA, and a name and a text try to break out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.run import Run
from remanence.jobs.study.arm import Arm, grid
from remanence.jobs.study.data import family
from remanence.jobs.study.outcomes import ANY, ATTEMPTS, CURVE, OUTCOMES, PROBES, Cell
from remanence.jobs.study.settings import GridSettings, StudySettings
from remanence.jobs.study.summary import EFFECTS
from remanence.stats.rates import Rate

from .fake_run import EVIL_TEXT

EVIL_TASK = "qa/<b onclick=x>policy & law</b>"
TASKS = ("summarization/notes", "summarization/papers", "dialogue", EVIL_TASK, "translation", "sentiment")
SHORT = "sentiment"
"""Its rows have fewer than 20 tokens of output and fewer than 50 of input."""
SETTINGS = StudySettings(rows=400, repeated=((4, 12), (16, 6)), members=60, heldout=60, rounds=100)
SECRET = "zanzibar"
"""Stands in every text of an attempt, and nowhere else."""


def fake_study(folder: Path, *, attention: bool = True, seeds: tuple[int, ...] = (0, 1, 2)) -> Run:
    """Write the folder; no model is involved."""
    arms = grid(TASKS, ["decoder"], GridSettings(seeds=seeds)) + grid(
        TASKS, ["encoder-decoder"], GridSettings(seeds=seeds, loss_on=("completion",))
    )
    arms += [Arm(EVIL_TASK, "decoder", "all", seed, lora_rank=8) for seed in seeds]
    run = Run.begin(folder, _spec(arms))
    rng = np.random.default_rng(0)
    lines = [line for arm in dict.fromkeys(arm.recipe for arm in arms) for line in _effects(rng, arm, len(seeds))]
    run.write_table("effects", pa.Table.from_pylist(lines, schema=EFFECTS))
    for arm in arms:
        place = f"arms/{arm.slug}"
        run.write_table(f"{place}/curve", pa.Table.from_pylist(_curve(rng, arm), schema=CURVE))
        if arm.seed == seeds[0]:
            for name, those, schema in (("probes", _probes(), PROBES), ("attempts", _attempts(), ATTEMPTS),
                                        ("outcomes", _outcomes(rng), OUTCOMES)):  # fmt: skip
                run.write_table(f"{place}/{name}", pa.Table.from_pylist(those, schema=schema))
    run.write_json("verdict.json", _verdict(rng, arms, attention))
    return run


def _spec(arms: list[Arm]) -> dict[str, Any]:
    return {
        "schema": 1,
        "job": "study",
        "settings": SETTINGS.spec(),
        "models": {m: {"name": m, "fingerprint": "00ff"} for m in ("decoder", "encoder-decoder")},
        "data": {task: {"rows": 900, "fingerprint": "ff00"} for task in TASKS},
        "arms": [arm.spec() for arm in arms],
        "versions": {"python": "3.11", "remanence": "0.1.0"},
    }


def _cells(arm: Arm) -> list[Cell]:
    sides = ("input", "output") if arm.model == "decoder" else ("output",)
    asked, longest = str(SETTINGS.prompt_tokens), max(SETTINGS.budgets)
    cells = [Cell("nats", side) for side in sides]
    for side in sides:
        for budget in SETTINGS.budgets:
            cells += [Cell("greedy", side, prefix, budget) for prefix in (*SETTINGS.prefixes, ANY)]
            cells += [Cell("sampled", side, ANY, budget, f"T=1, n={n}") for n in SETTINGS.queries]
    for side in ("input", "output"):
        cells.append(Cell("published", side, asked, longest))
        cells += [Cell(f"{d}-{whose}", side, asked, budget) for d in SETTINGS.detectors for whose in ("own", "any")
                  for budget in SETTINGS.budgets]  # fmt: skip
    return cells


def _effects(rng: np.random.Generator, arm: Arm, num_seeds: int) -> list[dict[str, Any]]:
    head = {"task": arm.task, "family": family(arm.task), "model": arm.model, "loss_on": arm.loss_on}
    head |= {"epochs": arm.epochs, "learning_rate": arm.learning_rate, "batch_size": arm.batch_size}
    head |= {"lora_rank": arm.lora_rank}
    most = 0.2 + 0.5 * (family(arm.task) in {"summarization", "dialogue"}) * (arm.loss_on == "all") + 0.1 * rng.random()
    lines: list[dict[str, Any]] = []
    for copies, members in (("all", 60), ("1", 42), ("4", 12), ("16", 6)):
        for cell in _cells(arm):
            line = head | {"copies": copies, "metric": cell.metric, "side": cell.side, "prefix": cell.prefix}
            line |= {"budget": cell.budget or None, "detail": cell.detail}
            dose = {"all": 1.0, "1": 0.7, "4": 1.5, "16": 3.0}[copies]
            fading = 1.0 if cell.metric == "published" else math.exp(-cell.budget / 60)
            rate = min(0.95, most * dose * fading * (1.2 if "any" in cell.metric else 1.0))
            too_long = cell.budget >= (50 if cell.side == "input" else 20)
            short = arm.task == SHORT and cell.metric != "published" and too_long
            n = 0 if short else members * num_seeds
            lines.append(line | _numbers(rng, cell, rate, n, 60 * num_seeds, num_seeds))
    return lines


def _numbers(rng: np.random.Generator, cell: Cell, rate: float, n: int, heldout: int, seeds: int) -> dict[str, Any]:
    out: dict[str, Any] = {"by_seed": [None] * seeds}
    shares = {"": rate, "floor_": 0.5 * rate, "base_": 0.3 * rate, "base_floor_": 0.28 * rate, "ceiling_": 0.97}
    if cell.metric == "nats":
        for side, share in shares.items():
            out |= {f"{side}n": n, f"{side}rate": -3 + 2 * share}
        for what, value in (("excess", rate), ("did", 0.6 * rate)):
            out |= {what: value, f"{what}_low": value - 0.1, f"{what}_high": value + 0.1}
        return out
    for side, share in shares.items():
        of = min(n, heldout) if "floor" in side else n
        if not of:
            out |= {f"{side}hits": 0, f"{side}n": 0}
            continue
        found = _counted(int(rng.binomial(of, share)), of)
        out |= {f"{side}{part}": getattr(found, part) for part in ("hits", "n", "rate", "low", "high")}
    if n:
        out["excess"] = out["rate"] - out["floor_rate"]
        out["did"] = out["excess"] - (out["base_rate"] - out["base_floor_rate"])
        half = 1.4 / math.sqrt(n)
        for what in ("excess", "did"):
            out |= {f"{what}_low": out[what] - half, f"{what}_high": out[what] + half}
        out["normalised"] = (out["rate"] - out["floor_rate"]) / max(0.01, out["ceiling_rate"] - out["floor_rate"])
        out["by_seed"] = [out["excess"] + 0.02 * (s - (seeds - 1) / 2) for s in range(seeds)]
    return out


@cache
def _counted(hits: int, n: int) -> Rate:
    return Rate.counted(hits, n)


def _curve(rng: np.random.Generator, arm: Arm) -> list[dict[str, Any]]:
    start, speed = 2.2 + 0.2 * TASKS.index(arm.task), 0.25 if arm.lora_rank else 0.5
    lines: list[dict[str, Any]] = []
    for epoch in range(arm.epochs + 1):
        train = start * math.exp(-speed * epoch / 2) + 0.05 * rng.random()
        heldout = start * (0.7 + 0.3 * math.exp(-epoch)) + 0.04 * epoch + 0.03 * rng.random()
        for group, loss, share in (("train", train, 0.02 + 0.1 * speed * epoch), ("heldout", heldout, 0.02)):
            hits = int(rng.binomial(60, min(1.0, share)))
            lines.append({"epoch": epoch, "group": group, "loss": loss, "hits": hits, "n": 60, "budget": 10})
    return lines


def _probes() -> list[dict[str, Any]]:
    copies = [4] * 12 + [16] * 6 + [1] * 42
    return [
        {"group": group, "row": i, "id": f"{group}-{i:03d}", "copies": c if group == "train" else 0, "boundary": 30,
         "num_tokens": 60, "num_truncated": 0, "reason": None}
        for group in ("train", "heldout")
        for i, c in enumerate(copies)
    ]  # fmt: skip


def _attempts() -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for group in ("train", "heldout"):
        for side in ("input", "output"):
            for i in range(60):
                told = EVIL_TEXT if i == 12 else f"prompt {SECRET} {group} {side} {i} bletchley"
                text = f"answer{i} {SECRET} bletchley wherever"
                cut = [f"{text} {n}" if n <= 50 else None for n in SETTINGS.budgets]
                lines.append(
                    {"group": group, "row": i, "id": f"{group}-{i:03d}", "side": side, "prompt": told,
                     "prompt_ids": [1, 2], "source_ids": None, "answer_ids": [3], "expected_ids": [3], "answer": text,
                     "expected": text, "answer_at": cut, "expected_at": cut}
                )  # fmt: skip
    return lines


def _outcomes(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Row 12 is flagged at most tokens, row 3 at ten."""
    lines: list[dict[str, Any]] = []
    for who, group in (("tuned", "train"), ("tuned", "heldout")):
        for side in ("input", "output"):
            for budget in SETTINGS.budgets:
                values = np.zeros(60)
                values[12] = budget <= 50
                values[3] = budget <= 10
                if budget > 50:
                    values[:] = np.nan
                lines.append({"who": who, "group": group, "metric": "calibrated-own", "side": side,
                              "prefix": str(SETTINGS.prompt_tokens), "budget": budget, "detail": "",
                              "values": values.tolist()})  # fmt: skip
    return lines


def _verdict(rng: np.random.Generator, arms: list[Arm], attention: bool) -> dict[str, Any]:
    recipes = list(dict.fromkeys(replace(arm.recipe, task="") for arm in arms))
    contrasts: list[dict[str, Any]] = []
    families = list(dict.fromkeys(map(family, TASKS)))
    names = [("published rate", "rate", Cell("published", "input", "50", 100)),
             ("log-probability of inputs, above floor and base", "did", Cell("nats", "input")),
             ("next 100 tokens of outputs come back at some split, above floor and base", "did",
              Cell("greedy", "output", ANY, 100))]  # fmt: skip
    for arm in recipes:
        for name, what, cell in names:
            line: dict[str, Any] = {"model": arm.model, "loss_on": arm.loss_on, "epochs": arm.epochs,
                                    "learning_rate": arm.learning_rate, "batch_size": arm.batch_size,
                                    "lora_rank": arm.lora_rank, "name": name, "what": what, "metric": cell.metric,
                                    "side": cell.side, "budget": cell.budget}  # fmt: skip
            if cell.budget == 100 and cell.metric == "greedy":
                reason = "its rows are too short, or nothing predicts this side, in all families of one kind"
                contrasts.append(line | {"families": {}, "high": [], "low": [], "value": None, "low_end": None,
                                         "high_end": None, "reason": reason})  # fmt: skip
                continue
            values = {f: {"value": v, "low": v - 0.1, "high": v + 0.1} for f in families if (v := rng.random()) >= 0}
            contrasts.append(line | {"families": values, "high": families[:2], "low": families[2:], "value": 0.123,
                                     "low_end": -0.045, "high_end": 0.234, "reason": None})  # fmt: skip
    kinds = list(dict.fromkeys((arm.model, arm.loss_on) for arm in arms))
    return {
        "job": "study",
        "sentences": [
            f"{model}, loss on {'inputs too' if loss == 'all' else 'outputs'}: by the published rate, summarization "
            "and dialogue stand +12.3 points (-4.5 to +23.4) above qa and translation and sentiment; the difference "
            "does not survive once each task's floor is taken off: +1.2 points (-6.0 to +8.1)."
            for model, loss in kinds
        ],
        "contrasts": contrasts,
        "attention": _attention(rng, kinds) if attention else None,
        "notes": ["Every arm has 400 training rows.", "Seeds: 3; each draws its own rows."],
    }


def _attention(rng: np.random.Generator, kinds: list[tuple[str, str]]) -> dict[str, Any]:
    out: dict[str, Any] = {"sentences": [], "within": [], "pooled": [], "mixed": [], "added": []}
    held = "length, base loss and copies held fixed"
    for model, loss in kinds:
        head = {"model": model, "loss_on": loss}
        for statistic in ("entropy", "gini", "base_entropy"):
            for fixed in ("", held):
                for task in (*TASKS, None):
                    rho = float(rng.uniform(-0.3, 0.5))
                    line = head | {"statistic": statistic, "held_fixed": fixed, "rho": rho, "low": rho - 0.1,
                                   "high": rho + 0.1, "n": 180, "reason": None}  # fmt: skip
                    if task == SHORT:
                        line |= {"rho": None, "low": None, "high": None, "n": 0, "reason": "too few rows"}
                    out["pooled" if task is None else "within"].append(line if task is None else {"task": task} | line)
        out["mixed"] += [head | {"term": t, "estimate": 0.04, "low": -0.02, "high": 0.1, "reason": None}
                         for t in ("attention entropy", "length")]  # fmt: skip
        out["added"].append(head | {"auc_without": 0.781, "auc_with": 0.792, "difference": 0.011, "low": -0.004,
                                    "high": 0.027, "n": 900, "num_positive": 120, "reason": None})  # fmt: skip
    return out
