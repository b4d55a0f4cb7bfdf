"""Does the spread of attention say which rows are extracted, within a task, and beyond what is known without it?

Per row: how flat the fine-tuned model's attention is where it writes the output (and, as a control, the base model's on
the same row), against how much more likely fine-tuning made the output. Rank correlations are taken within tasks, with
length, base loss and copies held fixed; a mixed model says the same with task and seed as random intercepts; and last,
whether attention helps to tell the extracted rows from the others, out of sample.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.run import Run
from remanence.core.table import TokenRow
from remanence.engine.token_store import from_arrow
from remanence.explain.attention.table import AttentionTable
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.outcomes import ANY, Cell, read_outcomes
from remanence.jobs.study.settings import StudySettings
from remanence.stats.added import added_value
from remanence.stats.mixed import mixed_model
from remanence.stats.within import Correlation, within_rank_correlation

Floats = NDArray[np.float64]
STATISTICS = ("entropy", "participation", "top", "gini")
PRIMARY = "entropy"
"""Chosen before looking: mean normalised entropy over all layers and heads; 1 = flat, which the paper expects of rows
that are memorized."""
BUDGET = 10
"""A row is extracted when so many tokens are at some split, where the study has this budget."""
ROUNDS = 500


@dataclass(frozen=True)
class Attended:
    """The measured training rows of one kind of training, all tasks and seeds one after the other, [N] each."""

    task: list[str]
    seed: list[int]
    row: list[str]
    statistics: dict[str, Floats]
    """Of the fine-tuned model, and with the prefix `base_` of the base model; `cross_last`: the paper's own choice."""
    gain: Floats
    """Mean log-probability of the output, tuned minus base, nats per token; higher = more memorized."""
    loss: Floats
    base_loss: Floats
    length: Floats
    copies: Floats
    zlib_bytes: Floats
    comes_back: Floats
    """1, 0 or NaN."""


def attention_verdict(run: Run, arms: Sequence[Arm], settings: StudySettings) -> dict[str, Any] | None:
    """The tables of `verdict.json` and their sentences; None where no attention was measured."""
    kinds: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        if run.has(f"arms/{arm.slug}/attention-train.parquet"):
            kinds.setdefault((arm.model, arm.loss_on), []).append(arm)
    if not kinds:
        return None
    out: dict[str, Any] = {"within": [], "pooled": [], "mixed": [], "added": [], "sentences": []}
    for (model, loss_on), those in kinds.items():
        head = {"model": model, "loss_on": loss_on}
        data = _gather(run, those, settings)
        for key, lines in _lines(data).items():
            out[key] += [head | line for line in lines]
        out["sentences"].append(_sentence(model, loss_on, out))
    return out


def _gather(run: Run, arms: Sequence[Arm], settings: StudySettings) -> Attended:
    parts = [_of_arm(run, arm, settings) for arm in arms]
    arrays = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("gain", "loss", "base_loss", "length", "copies", "zlib_bytes", "comes_back")
    }
    names = [name for name in parts[0].statistics if all(name in p.statistics for p in parts)]
    return Attended(
        [t for p in parts for t in p.task],
        [s for p in parts for s in p.seed],
        [r for p in parts for r in p.row],
        {name: np.concatenate([p.statistics[name] for p in parts]) for name in names},
        **arrays,
    )


def _of_arm(run: Run, arm: Arm, settings: StudySettings) -> Attended:
    place, base = f"arms/{arm.slug}", f"bases/{arm.base_slug}"
    probes = [line for line in run.lines(f"{place}/probes") if line["group"] == "train"]
    statistics = _statistics(run, place, "") | _statistics(run, base, "base_")
    values = {where: _values(run, where, settings) for where in (place, base)}
    nats, base_nats = values[place]["nats"], values[base]["nats"]
    texts = [row for _, _, row in from_arrow(run.read_table(f"{place}/tokens-train"))]
    packed = [len(zlib.compress(t.text.encode())) if isinstance(t, TokenRow) else np.nan for t in texts]
    return Attended(
        [arm.task] * len(probes),
        [arm.seed] * len(probes),
        [f"{arm.task}/{line['id']}" for line in probes],
        statistics,
        nats - base_nats,
        -nats,
        -base_nats,
        np.array([np.nan if line["num_tokens"] is None else line["num_tokens"] for line in probes], np.float64),
        np.array([line["copies"] for line in probes], np.float64),
        np.array(packed, np.float64),
        values[place]["hit"],
    )


def _statistics(run: Run, place: str, prefix: str) -> dict[str, Floats]:
    table = AttentionTable.from_arrow(run.read_table(f"{place}/attention-train"))
    found = {f"{prefix}{name}": table.mean(name) for name in STATISTICS}
    if "cross" in table.values and not prefix:
        last = table.values["cross"][:, -1, :, 0].astype(np.float64)
        known = ~np.isnan(last)
        total, count = np.where(known, last, 0.0).sum(1), known.sum(1)
        found["cross_last"] = np.divide(total, count, out=np.full(len(last), np.nan), where=count > 0)
    return found


def _values(run: Run, place: str, settings: StudySettings) -> dict[str, Floats]:
    """`nats` and `hit` of the outputs of training rows, in float64."""
    budget = BUDGET if BUDGET in settings.budgets else settings.budgets[0]
    wanted = {Cell("nats", "output"): "nats", Cell("greedy", "output", ANY, budget): "hit"}
    return {
        wanted[cell]: values.astype(np.float64)
        for _, group, cell, values in read_outcomes(run, f"{place}/outcomes")
        if group == "train" and cell in wanted
    }


def _lines(data: Attended) -> dict[str, list[dict[str, Any]]]:
    fixed = {"length": np.log(data.length), "base loss": data.base_loss, "copies": np.log(data.copies)}
    within: list[dict[str, Any]] = []
    pooled: list[dict[str, Any]] = []
    for name, values in data.statistics.items():
        for what, covariates in (("", None), ("length, base loss and copies held fixed", fixed)):
            found = within_rank_correlation(values, data.gain, data.task, covariates, data.row, rounds=ROUNDS)
            head = {"statistic": name, "held_fixed": what}
            tasks = dict.fromkeys(data.task)
            within += [{"task": task} | head | _correlation(found.by_task.get(task)) for task in tasks]
            pooled.append(head | _correlation(found.pooled))
    return {"within": within, "pooled": pooled, "mixed": _mixed(data), "added": [_added(data)]}


def _correlation(one: Correlation | None) -> dict[str, Any]:
    if one is None:
        return {"rho": None, "low": None, "high": None, "n": 0, "reason": "too few rows, or a number does not vary"}
    return {"rho": one.rho, "low": one.interval.low, "high": one.interval.high, "n": one.n, "reason": None}


def _mixed(data: Attended) -> list[dict[str, Any]]:
    predictors = {
        "attention entropy": data.statistics[PRIMARY],
        "length": np.log(data.length),
        "base loss": data.base_loss,
        "copies": np.log(data.copies),
    }
    try:
        model = mixed_model(data.gain, predictors, {"task": data.task, "seed": [str(seed) for seed in data.seed]})
    except (NotMeasured, RemanenceError) as why:
        return [{"term": "attention entropy", "estimate": None, "low": None, "high": None, "reason": str(why)}]
    return [
        {"term": name, "estimate": one.value, "low": one.interval.low, "high": one.interval.high, "reason": None}
        for name, one in model.fixed.items()
        if name in predictors
    ]


def _added(data: Attended) -> dict[str, Any]:
    """Out-of-sample AUC of "this row is extracted" from what everyone has, then with attention."""
    known = {"loss": data.loss, "zlib": data.zlib_bytes, "gain over base": data.gain, "length": np.log(data.length)}
    names = [name for name in STATISTICS if name in data.statistics]
    there = ~np.isnan(data.comes_back)
    try:
        found = added_value(
            data.comes_back[there] == 1,
            {name: values[there] for name, values in known.items()},
            {name: data.statistics[name][there] for name in names},
            [row for row, keep in zip(data.row, there.tolist(), strict=True) if keep],
            rounds=ROUNDS,
        )
    except NotMeasured as why:
        empty: dict[str, Any] = dict.fromkeys(("auc_without", "auc_with", "difference", "low", "high"))
        return empty | {"n": int(there.sum()), "num_positive": int((data.comes_back == 1).sum()), "reason": why.reason}
    return {
        "auc_without": found.auc_without,
        "auc_with": found.auc_with,
        "difference": found.difference,
        "low": found.interval.low,
        "high": found.interval.high,
        "n": found.n,
        "num_positive": found.hits,
        "reason": None,
    }


def _sentence(model: str, loss_on: str, out: dict[str, Any]) -> str:
    mine = [line for line in out["pooled"] if (line["model"], line["loss_on"]) == (model, loss_on)]
    plain, partial = (
        next(line for line in mine if line["statistic"] == PRIMARY and bool(line["held_fixed"]) == held)
        for held in (False, True)
    )
    where = f"{model}, loss on {'inputs too' if loss_on == 'all' else 'outputs'}"
    if plain["rho"] is None or partial["rho"] is None:
        return f"{where}: attention and memorization cannot be compared ({plain['reason'] or partial['reason']})."
    text = (
        f"{where}: within tasks, flatter attention goes with more gain by rho {plain['rho']:+.2f} "
        f"({plain['low']:+.2f} to {plain['high']:+.2f}), with length, base loss and copies held fixed "
        f"{partial['rho']:+.2f} ({partial['low']:+.2f} to {partial['high']:+.2f})"
    )
    added = next(line for line in out["added"] if (line["model"], line["loss_on"]) == (model, loss_on))
    if added["reason"] is not None:
        return f"{text}; what attention adds to predicting which rows are extracted cannot be said ({added['reason']})."
    return (
        f"{text}; beside loss, zlib, gain over base and length it adds {added['difference']:+.3f} "
        f"({added['low']:+.3f} to {added['high']:+.3f}) to an AUC of {added['auc_without']:.3f}."
    )
