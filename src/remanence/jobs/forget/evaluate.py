"""The whole evaluation of one model: what it can be made to say of each side, and what it is still good for.

Everything is read from one pass per side, a few dozen questions, and a short training that tries to bring rows back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.verbs import TableMeasure
from remanence.jobs.forget.generated import SIDES, Detector, generated_rows
from remanence.jobs.forget.paths import BEFORE
from remanence.jobs.forget.snapshot import SideSnapshot, loss_increase, ratio_interval
from remanence.jobs.forget.tables import RELEARN, RELEARNED, ROW_STATES, SAID, SCORES
from remanence.jobs.forget.workbench import Workbench
from remanence.measure.extraction.exposure import Exposure
from remanence.measure.extraction.extraction_strength import ExtractionStrength
from remanence.measure.likelihood.min_k import MinK
from remanence.measure.unlearning.exact_memorization import ExactMemorization
from remanence.measure.unlearning.privleak import FRACTION
from remanence.measure.unlearning.probability import Probability
from remanence.measure.unlearning.truth_ratio import TruthRatio, forget_aggregate, retain_aggregate
from remanence.models.huggingface import HuggingFace
from remanence.stats.intervals import bootstrap
from remanence.stats.membership import auc_interval, roc_auc
from remanence.stats.rates import Rate
from remanence.training.relearn import relearn

RELEARN_RATE = 5e-4
"""Learning rate of the training that tries to bring rows back: the same for every model, so that they compare."""
BACK = 0.5
"""Rows count as relearned when this share of those extracted before are extracted again."""

Evaluation = Callable[[HuggingFace], float]
"""A measure of use of the caller's own: target -> a number."""


def evaluate(
    bench: Workbench, name: str, target: HuggingFace, detector: Detector, own: Mapping[str, Evaluation]
) -> None:
    """Write `finals/NAME-*.parquet` of a model that is on the bench now, or guarded there; skipped when it is there."""
    if bench.run.has(f"finals/{name}-scores.parquet"):
        return
    snapshots = {
        side: bench.before[there] if name == BEFORE else bench.snapshot(there, target) for side, there in SIDES.items()
    }
    lines: list[dict[str, Any]] = []
    states: list[dict[str, Any]] = []
    ratios: dict[str, NDArray[np.float64]] = {}
    for side, seen in snapshots.items():
        lines += [_line(name, side, *one) for one in _of_table(seen, bench.settings.seed)]
        ratios[side] = _truth(bench, target, side)
        known = ratios[side][~np.isnan(ratios[side])]
        both = forget_aggregate if side == "forget" else retain_aggregate
        lines.append(_line(name, side, *_aggregate(both, known, bench.settings.seed)))
        states += _states(bench, name, side, seen, ratios[side])
    rise = loss_increase(bench.before[SIDES["heldout"]], snapshots["heldout"], bench.settings.seed)
    n = int((~np.isnan(snapshots["heldout"].nll)).sum())
    lines.append(_line(name, "heldout", "loss_rise", rise.value, None, n, *rise.interval))
    lines += [_line(name, "forget", *one) for one in _membership(snapshots)]
    lines += [_line(name, side, *one) for side in ("forget", "heldout") for one in _exposure(bench, target, side)]
    said = [one for side in SIDES for one in generated_rows(bench, name, target, side)]
    lines += [_line(name, side, *one) for side in SIDES for one in detector.judge(said, side)]
    for metric, ask in own.items():
        lines.append(_line(name, "heldout", f"user:{metric}", float(ask(target))))
    trails, back = _relearning(bench, name, target, snapshots["forget"])
    write = bench.run.write_table
    write(f"finals/{name}-states", pa.Table.from_pylist(states, schema=ROW_STATES))
    write(f"finals/{name}-said", pa.Table.from_pylist(said, schema=SAID))
    write(f"finals/{name}-relearn", pa.Table.from_pylist(trails, schema=RELEARN))
    write(f"finals/{name}-relearned", pa.Table.from_pylist(back, schema=RELEARNED))
    write(f"finals/{name}-scores", pa.Table.from_pylist(lines, schema=SCORES))


STAND_IN = "without answers given in the data, the row's own stands for its paraphrase, and other rows' for wrong ones"

Told = tuple[Any, ...]
"""metric, value, and then hits, n, low, high, note as far as they are known."""


def _line(
    model: str,
    side: str,
    metric: str,
    value: float | None,
    hits: int | None = None,
    n: int | None = None,
    low: float | None = None,
    high: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    known = None if value is None or not np.isfinite(value) else float(value)
    ends = {"low": low, "high": high} if known is not None else {"low": None, "high": None}
    return {"model": model, "side": side, "metric": metric, "value": known, "hits": hits, "n": n, **ends, "note": note}


def _of_table(seen: SideSnapshot, seed: int) -> list[Told]:
    """What the token table says of a side."""
    told: list[Told] = [_rate("discoverable", seen.rate), _rate("np_discoverable", seen.sampled_rate)]
    known = ~np.isnan(seen.nll)
    if known.any():
        ends = ratio_interval(seen.nll[known], seen.tokens[known], seed)
        told.append(("loss", seen.loss, None, int(known.sum()), *ends))
    measures: dict[str, TableMeasure] = {
        "extraction_strength": ExtractionStrength(),
        "exact_memorization": ExactMemorization(),
        "probability": Probability(),
    }
    return told + [_mean(name, _scores(measure, seen), seed) for name, measure in measures.items()]


def _scores(measure: TableMeasure, seen: SideSnapshot) -> NDArray[np.float64]:
    found = (measure.find("", row).score for row in seen.rows)
    return np.array([np.nan if score is None else score for score in found], np.float64)


def _rate(metric: str, rate: Rate) -> Told:
    return (metric, rate.rate, rate.hits, rate.n, rate.low, rate.high)


def _mean(metric: str, values: NDArray[np.float64], seed: int) -> Told:
    known = values[~np.isnan(values)]
    if not known.size:
        return (metric, None, None, 0, None, None, "no row could be measured")
    interval = bootstrap(known, np.mean, seed)
    return (metric, float(known.mean()), None, int(known.size), interval.low, interval.high)


def _aggregate(mean: Callable[[NDArray[np.float64]], float], ratios: NDArray[np.float64], seed: int) -> Told:
    """The truth ratios of a side as one figure; `mean` is one of the two aggregates, each a mean over rows."""
    if not ratios.size:
        return ("truth_ratio", None, None, 0, None, None, "no row has a truth ratio")
    each = np.array([mean(ratios[i : i + 1]) for i in range(ratios.size)])
    return ("truth_ratio", mean(ratios), None, ratios.size, *bootstrap(each, np.mean, seed), STAND_IN)


def _truth(bench: Workbench, target: HuggingFace, side: str) -> NDArray[np.float64]:
    """[N] truth ratios; NaN where there is none."""
    records = bench.records(SIDES[side])
    others = tuple(bench.sides.judge) if side != "heldout" else tuple(bench.sides.guide)
    found = TruthRatio(seed=bench.settings.seed, others=others)(target, records)
    return np.array([f.evidence.get("truth_ratio", np.nan) if f.score is not None else np.nan for f in found])


def _membership(snapshots: Mapping[str, SideSnapshot]) -> list[Told]:
    """Can the forget rows be told from held-out ones? Two-sided: far below 0.5 they stand out by being unlikely."""
    told: list[Told] = []
    for metric, scores in (
        ("auc_loss", lambda seen: seen.per_row),
        ("auc_min_k", lambda seen: _scores(MinK(FRACTION), seen)),
    ):
        members, others = ((v := scores(snapshots[side]))[~np.isnan(v)] for side in ("forget", "heldout"))
        if members.size and others.size:
            told.append((metric, roc_auc(members, others), None, members.size, *auc_interval(members, others)))
    return told


def _exposure(bench: Workbench, target: HuggingFace, side: str) -> list[Told]:
    """Of spans that only this row has. Held-out rows are its floor: a row's own words fit their place in any case."""
    settings = bench.settings
    rows = bench.records(SIDES[side])[: settings.exposure_rows]
    if not rows:
        return []
    measure = Exposure(
        seed=settings.seed,
        heldout=(*bench.sides.guide, *bench.sides.judge),
        training=(*bench.sides.forget, *bench.sides.rest),
    )
    found = [f for f in measure(target, rows) if f.score is not None]
    metric, value, hits, n, *rest = _mean("exposure", np.array([f.score for f in found], np.float64), settings.seed)
    ends = rest[:2] if value is not None else (None, None)
    chance = float(np.mean([f.evidence["chance"] for f in found])) if found else float("nan")
    most = max((f.evidence["most"] for f in found), default=float("nan"))
    note = f"bits, at most {most:.0f}; {chance:.2f} by blind chance" if found else "no row has a span of its own"
    return [(metric, value, hits, n, *ends, note)]


def _states(
    bench: Workbench, name: str, side: str, seen: SideSnapshot, ratios: NDArray[np.float64]
) -> list[dict[str, Any]]:
    min_k = _scores(MinK(FRACTION), seen)
    with np.errstate(invalid="ignore"):
        loss = seen.nll / seen.tokens

    def told(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return [
        {
            "model": name, "side": side, "id": record.id,
            "comes_back": None if np.isnan(seen.extracted[i]) else bool(seen.extracted[i]),
            "longest_run": None if np.isnan(seen.run[i]) else int(seen.run[i]),
            "loss": told(loss[i]), "min_k": told(min_k[i]), "truth_ratio": told(ratios[i]),
        }
        for i, record in enumerate(bench.records(SIDES[side]))
    ]  # fmt: skip


def _relearning(
    bench: Workbench, name: str, target: HuggingFace, seen: SideSnapshot
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training on the forgotten rows themselves, and on rows that were kept: how soon are the forgotten ones back?"""
    settings = bench.settings
    goal = BACK * bench.before["forget"].rate.rate
    if not settings.relearn_steps or not goal > 0:
        return [], []
    trails: list[dict[str, Any]] = []
    back: list[dict[str, Any]] = []
    for rows, there in (("forget", "forget"), ("benign", "retain")):
        result = relearn(
            target.module, target.tokenizer, bench.rows(there), goal=goal, max_steps=settings.relearn_steps,
            memorization=lambda model: bench.snapshot("forget", bench.other(model)).rate.rate,
            learning_rate=RELEARN_RATE, batch_size=settings.batch_size, check_every=2, seed=settings.seed,
        )  # fmt: skip
        trails += [{"model": name, "rows": rows, "step": at.step, "rate": at.memorization} for at in result.trail]
        back.append(
            {"model": name, "rows": rows, "steps": result.steps, "max_steps": settings.relearn_steps, "goal": goal}
        )
    return trails, back
