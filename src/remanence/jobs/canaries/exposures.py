"""Exposure of every canary, by repetition and band, computed from the token tables without a model.

Paper: Carlini et al. 2019, "The Secret Sharer", arXiv 1802.08232: exposure = log2 |R| - log2 rank. Here R is a canary
and the controls of its band, which were assigned at random from one pool; for digits also all numbers with as many
digits, each put in the place of the secret, which is R as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured
from remanence.core.table import TokenRow
from remanence.jobs.canaries.key import Canary
from remanence.stats.exposure import chance_exposure, exposure
from remanence.stats.intervals import Interval, bootstrap
from remanence.stats.membership import auc_interval, roc_auc
from remanence.stats.rates import Rate
from remanence.stats.skew_normal import extrapolated_exposure

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.float64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


EXPOSURES = _schema(
    target=_TEXT,  # tuned or base
    measure=_TEXT,  # loss, or reference: tuned minus base
    id=_TEXT,
    kind=_TEXT,  # canary or control
    band=_TEXT,
    copies=_INT,  # how often it stood in the training data; 0 for a control
    score=_FLOAT,  # nats per learned token; higher = likelier
    candidates=_INT,  # the row itself and the controls of its band
    rank=_FLOAT,  # among them, 1 = likeliest; ties share the middle
    exposure=_FLOAT,  # log2 candidates - log2 rank, bits; exact
    most=_FLOAT,  # log2 candidates
    fitted=_FLOAT,  # -log2 P under a skew-normal fitted to the controls, at most the row's own bits: an extrapolation
    counted=_FLOAT,  # exposure among all secrets of that many digits, each put into the row; null where not counted
    counted_most=_FLOAT,
    secret_tokens=_INT,
    secret_back=_BOOL,  # shown what stands before it, greedy decoding says the secret
    reason=_TEXT,  # why something could not be measured
)
"""One line per (target, measure, row); a control is ranked among the other controls. `exposures.parquet`"""

SUMMARY = _schema(
    target=_TEXT,
    measure=_TEXT,
    band=_TEXT,  # all, or a band
    copies=_INT,  # 0 = controls: what was never planted
    n=_INT,  # that could be measured
    exposure=_FLOAT,  # mean, bits, by rank
    exposure_low=_FLOAT,  # bootstrap over canaries, 95 %
    exposure_high=_FLOAT,
    chance=_FLOAT,  # mean exposure when every rank is as likely
    most=_FLOAT,  # highest exposure that ranks can tell
    first=_INT,  # canaries likelier than every control
    fitted=_FLOAT,  # median of the fitted exposures
    counted=_FLOAT,  # mean of the counted exposures; null where none was
    counted_low=_FLOAT,
    counted_high=_FLOAT,
    counted_n=_INT,
    auc=_FLOAT,  # chance that a canary is likelier than a control of its band
    auc_low=_FLOAT,
    auc_high=_FLOAT,
    back_hits=_INT,  # secrets that are extracted greedily; the same for every measure
    back_n=_INT,
    back_rate=_FLOAT,
    back_low=_FLOAT,
    back_high=_FLOAT,
)
"""By repetition and band, with counts and intervals. `summary.parquet`"""


Floats = NDArray[np.float64]


@dataclass
class Scored:
    """One canary or control, scored by one target."""

    canary: Canary
    score: float = np.nan
    """Nats per learned token, higher = likelier; NaN where it could not be measured."""
    row_bits: float | None = None
    """How surprising the whole learned part is to the base model: log2 of the space that it was drawn from."""
    secret_tokens: int | None = None
    secret_back: bool | None = None
    reason: str | None = None
    counted: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its line of `COUNTED`, if there is one."""


def scored_row(canary: Canary, row: TokenRow | str, span: tuple[int, int] | str) -> Scored:
    """The score of a row, and whether its secret is extracted; `span`: tokens of the secret, or why there are none."""
    if isinstance(row, str):
        return Scored(canary, reason=row)
    try:
        values = row.scored("logprob")
    except NotMeasured as why:
        return Scored(canary, reason=why.reason)
    scored = Scored(canary, float(values.mean()), canary.loss * values.size / math.log(2))
    if isinstance(span, str):
        scored.reason = span
        return scored
    start, end = span
    scored.secret_tokens = end - start
    scored.secret_back = bool((row.columns["rank"][start:end] == 0).all())
    return scored


def against_base(tuned: Sequence[Scored], base: Sequence[Scored]) -> list[Scored]:
    """The same rows by the reference score: tuned minus base."""
    return [
        Scored(
            one.canary,
            one.score - other.score,
            one.row_bits,
            one.secret_tokens,
            one.secret_back,
            one.reason or other.reason,
        )
        for one, other in zip(tuned, base, strict=True)
    ]


def exposure_lines(target: str, measure: str, rows: Sequence[Scored]) -> list[dict[str, Any]]:
    """The lines of `exposures.parquet` of one target and measure."""
    controls = _controls(rows)
    lines: list[dict[str, Any]] = []
    for one in rows:
        line: dict[str, Any] = {
            "target": target, "measure": measure, "id": one.canary.id, "kind": one.canary.kind,
            "band": one.canary.band, "copies": one.canary.copies, "secret_tokens": one.secret_tokens,
            "secret_back": one.secret_back, "reason": one.reason,
            "counted": one.counted.get("exposure"),
            "counted_most": np.log2(one.counted["candidates"]) if one.counted.get("exposure") is not None else None,
        }  # fmt: skip
        others = np.array([s for who, s in controls.get(one.canary.band, []) if who != one.canary.id], np.float64)
        if not np.isnan(one.score):
            line["score"] = one.score
            if others.size:
                line |= _ranked(one.score, others, one.row_bits)
        lines.append(line)
    return lines


def summary_lines(target: str, measure: str, rows: Sequence[Scored], seed: int) -> list[dict[str, Any]]:
    """The lines of `summary.parquet` of one target and measure: all bands together, then each."""
    lines = exposure_lines(target, measure, rows)
    bands = list(dict.fromkeys(one.canary.band for one in rows))
    found: list[dict[str, Any]] = []
    for band in ("all", *bands) if len(bands) > 1 else bands:
        here = [line for line in lines if band in ("all", line["band"])]
        for copies in sorted({line["copies"] for line in here}):
            those = [line for line in here if line["copies"] == copies]
            found.append(
                {"target": target, "measure": measure, "band": band, "copies": copies}
                | _summed(those, [line for line in here if line["kind"] == "twin"], seed)
            )
    return found


def _ranked(score: float, others_N: Floats, row_bits: float | None) -> dict[str, Any]:
    """A fitted exposure is limited to the bits of the row, as |R| limits exposure in the paper."""
    every = np.concatenate([[score], others_N])
    bits = float(exposure(every, np.array(0)))
    line: dict[str, Any] = {
        "candidates": every.size,
        "exposure": bits,
        "rank": round(2 * every.size / 2**bits) / 2,  # ties give halves
        "most": float(np.log2(every.size)),
    }
    try:
        fitted = float(extrapolated_exposure(others_N, np.array(score)))
        line["fitted"] = fitted if row_bits is None else min(fitted, row_bits)
    except ValueError:
        line["fitted"] = None
    return line


def _summed(those: Sequence[Mapping[str, Any]], controls: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    bits = _column(those, "exposure")
    line: dict[str, Any] = {"n": int(bits.size)}
    if bits.size:
        low, high = _interval(bits, seed)
        sizes = [one["candidates"] for one in those if one.get("exposure") is not None]
        fitted = _column(those, "fitted")
        line |= {
            "exposure": float(bits.mean()), "exposure_low": low, "exposure_high": high,
            "chance": float(np.mean([chance_exposure(size) for size in sizes])),
            "most": float(np.mean(_column(those, "most"))),
            "first": sum(one.get("rank") == 1 for one in those),
            "fitted": float(np.median(fitted)) if fitted.size else None,
        }  # fmt: skip
    counted = _column(those, "counted")
    line["counted_n"] = int(counted.size)
    if counted.size:
        low, high = _interval(counted, seed)
        line |= {"counted": float(counted.mean()), "counted_low": low, "counted_high": high}
    line |= _membership(those, controls)
    known = [bool(one["secret_back"]) for one in those if one["secret_back"] is not None]
    rate = Rate.of(known)
    line |= {"back_hits": rate.hits, "back_n": rate.n}
    if rate.n:
        line |= {"back_rate": rate.rate, "back_low": rate.low, "back_high": rate.high}
    return line


def _membership(those: Sequence[Mapping[str, Any]], controls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """AUC of canaries against controls. Over several bands, scores are standardized by the controls of their band."""
    if not those or those[0]["kind"] == "twin":
        return {}
    ours, others = _standardized(those, controls), _standardized(controls, controls)
    if not ours.size or not others.size:
        return {}
    low, high = auc_interval(ours, others)
    return {"auc": roc_auc(ours, others), "auc_low": low, "auc_high": high}


def _standardized(lines: Sequence[Mapping[str, Any]], controls: Sequence[Mapping[str, Any]]) -> Floats:
    """Scores minus the mean of the controls of the same band, divided by their standard deviation."""
    found: list[Floats] = []
    for band in dict.fromkeys(line["band"] for line in lines):
        own, others = (_column([x for x in side if x["band"] == band], "score") for side in (lines, controls))
        if others.size:
            found.append((own - others.mean()) / (float(others.std()) or 1.0))
    return np.concatenate([*found, np.zeros(0)])


def _column(lines: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return np.array([line[name] for line in lines if line.get(name) is not None], np.float64)


def _interval(values: Floats, seed: int) -> Interval | tuple[None, None]:
    """Bootstrap over canaries; none for a single one."""
    return bootstrap(values, np.mean, seed) if values.size > 1 else (None, None)


def _controls(rows: Sequence[Scored]) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for one in rows:
        if one.canary.kind == "twin" and not np.isnan(one.score):
            found.setdefault(one.canary.band, []).append((one.canary.id, one.score))
    return found
