"""The tables of the report with formatted values; the template only lays them out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remanence.report.audit import Audit
from remanence.report.charts import auc_figure, breakdown_figure, prefix_figure, samples_figure
from remanence.report.drawing import Figure
from remanence.report.value_charts import budget_figure
from remanence.report.words import (
    METRICS,
    MODELS,
    WHO,
    Line,
    Share,
    count,
    figure,
    measure_name,
    measure_words,
    metric_detail,
    metric_name,
    number,
    percent,
    points,
    share,
    span,
)

BREAKDOWNS = {
    "length": ("By length of the row", "supervised tokens"),
    "copies": ("By number of copies in the training data", "copies, including the row itself"),
    "near": ("By number of near duplicates", "near duplicates"),
}


@dataclass(frozen=True)
class Strip:
    """One bar of the chart beside the verdict; positions are in per cent of its width."""

    who: str
    name: str
    count: str
    rate: str
    interval: str
    left: float
    width: float
    dot: float
    beyond: bool
    """The rate is beyond the end of the scale."""


@dataclass(frozen=True)
class Cell:
    """A rate in a table."""

    rate: str
    interval: str
    count: str


def strips(shares: Mapping[str, Share | None], names: Mapping[str, str] = WHO) -> tuple[list[Strip], str]:
    """The rate, floor, base and ceiling on one scale, and the end of the scale."""
    measured = [s.high for who, s in shares.items() if s is not None and who != "ceiling"]
    ends = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75)
    end = next((e for e in ends if e >= 1.04 * max(measured, default=1)), 1.0)
    return [_strip(who, names[who], s, end) for who, s in shares.items() if s is not None], f"{100 * end:g}\u00a0%"


def _strip(who: str, name: str, s: Share, end: float) -> Strip:
    def place(rate: float) -> float:
        return round(100 * min(rate, end) / end, 2)

    width = round(place(s.high) - place(s.low), 2)
    words = (name, count(s), percent(s.rate), span(s.low, s.high))
    return Strip(who, *words, place(s.low), width, place(s.rate), s.rate > end)


def rate_rows(lines: Sequence[Line], name_by_value: bool = False) -> list[dict[str, Any]]:
    """Lines of `rates` as table rows: a name, four rates, two differences."""
    found: list[dict[str, Any]] = []
    for line in lines:
        row: dict[str, Any] = {"name": line["value"] if name_by_value else metric_name(line)}
        row["detail"] = line["detail"] if name_by_value else metric_detail(line)
        for who, prefix in (("tuned", ""), ("floor", "floor_"), ("base", "base_"), ("ceiling", "ceiling_")):
            value = share(line, prefix)
            row[who] = None if value is None else Cell(percent(value.rate), span(value.low, value.high), count(value))
        for name in ("excess", "over_base"):
            row[name] = _difference(line, name)
        found.append(row)
    return found


def _difference(line: Line, name: str) -> Cell | None:
    value, low, high = (number(line.get(f"{name}{end}")) for end in ("", "_low", "_high"))
    if value is None:
        return None
    return Cell(points(value), "" if low is None or high is None else f"{points(low)} to {points(high)}", "")


def curves(audit: Audit) -> tuple[list[Figure], list[Figure]]:
    """The curves to show, and those of further sampling schemes, which are collapsed."""
    samples = audit.rates_by("n", "np")
    details = list(dict.fromkeys(str(r["detail"] or "") for r in samples))
    by_n = [
        samples_figure([r for r in samples if str(r["detail"] or "") == detail], detail, f"np-{place}")
        for place, detail in enumerate(details)
    ]
    prefix = prefix_figure(audit.rates_by("prefix", "greedy"))
    budget = budget_figure(audit.rates_by("budget", "greedy"), "By number of tokens that must be extracted", "budget")
    found = [f for f in (prefix, budget, *by_n) if f is not None]
    return found[:4], found[4:]


def breakdowns(audit: Audit) -> list[dict[str, Any]]:
    """The greedy rate by length, copies and near duplicates: a chart and its numbers."""
    found: list[dict[str, Any]] = []
    for by, (title, axis) in BREAKDOWNS.items():
        lines = audit.rates_by(by, "greedy")
        chart = breakdown_figure(lines, by, title, axis)
        if chart is not None:
            found.append({"figure": chart, "axis": axis, "rows": rate_rows(lines, name_by_value=True)})
    return found


@dataclass(frozen=True)
class Membership:
    """The membership section: AUC and TPR at each FPR by measure and target, and the reasons for missing values."""

    fprs: list[str]
    groups: list[tuple[str, str, list[dict[str, Any]]]]
    """(name, kind, rows) of each target."""
    refusals: list[str]
    figure: Figure | None


def membership(audit: Audit) -> Membership | None:
    """The section, or None without scores; a reason that applies to all measures is listed once."""
    if not audit.membership:
        return None
    fprs = sorted({line["fpr"] for line in audit.membership if line["fpr"] is not None}, reverse=True)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    refusals: dict[str, None] = {}
    for line in audit.membership:
        key = (line["target"], line["measure"])
        new = {
            "who": key[0],
            "name": measure_name(key[1]),
            "auc": None,
            "tpr": [None] * len(fprs),
            "refused": [False] * len(fprs),
        }
        row = rows.setdefault(key, new)
        row["auc"] = row["auc"] or _auc(line)
        tpr = share({**line, "hits": 0, "rate": line["tpr"], "low": line["tpr_low"], "high": line["tpr_high"], "n": 1})
        if tpr is not None and line["fpr"] is not None:
            measured = number(line["fpr_realised"])
            as_asked = measured is None or percent(measured) == percent(line["fpr"])
            note = "" if as_asked or measured is None else f"at {percent(measured)} FPR"
            row["tpr"][fprs.index(line["fpr"])] = Cell(percent(tpr.rate), span(tpr.low, tpr.high), note)
        if line["reason"]:
            if line["fpr"] is not None:
                row["refused"][fprs.index(line["fpr"])] = True
            where = "" if line["fpr"] is None or line["auc"] is None else f"TPR at {100 * line['fpr']:g}\u00a0% FPR: "
            refusals.setdefault(f"{where}{line['reason']}")
    return Membership(
        fprs=[f"{100 * f:g}\u00a0%" for f in fprs],
        groups=[(name, who, [r for r in rows.values() if r["who"] == who]) for who, name in MODELS.items()],
        refusals=list(refusals),
        figure=auc_figure(audit.membership),
    )


def _auc(line: Line) -> Cell | None:
    auc, low, high = (number(line[key]) for key in ("auc", "auc_low", "auc_high"))
    if auc is None:
        return None
    return Cell(f"{auc:.3f}", "" if low is None or high is None else f"{low:.3f} to {high:.3f}", "")


def methods(audit: Audit) -> list[tuple[str, str]]:
    """What each metric and measure in this run means."""
    metrics = dict.fromkeys(str(r["metric"]) for r in audit.rates)
    if audit.ranking:
        metrics["strength"] = None
    if audit.origins:
        metrics |= dict.fromkeys(("verbatim", "paraphrase", "idea", "bits"))
    measures = dict.fromkeys(measure_words(str(r["measure"])) for r in audit.membership)
    return [METRICS[m] for m in metrics if m in METRICS] + [words for words in measures if words[1]]


def settings(audit: Audit) -> list[tuple[str, list[tuple[str, str]]]]:
    """The spec as titled lists of names and values."""
    spec = audit.spec
    things: list[tuple[str, str]] = []
    for kind, label in (("models", "model"), ("data", "data")):
        for which, thing in (spec.get(kind) or {}).items():
            if thing:
                rows = f", {thing['rows']:,} rows" if "rows" in thing else ""
                words = f"{thing.get('name')}{rows}, fingerprint {thing.get('fingerprint')}"
                things.append((f"{label}, {which}", words))
    if audit.index_bytes:
        things.append(("index of the training rows", f"{audit.index_bytes / 1e6:,.1f} MB on disk"))
    values = {**(spec.get("settings") or {}), **{f"streamed, {k}": v for k, v in (spec.get("stream") or {}).items()}}
    shown = [(key.replace("_", " "), _value(value)) for key, value in values.items()]
    more = [name for name in ("seed", "tokenization") if name in spec and name not in (spec.get("settings") or {})]
    shown += [(name, _value(spec[name])) for name in more]
    versions = {"remanence": audit.version(), **(spec.get("versions") or {})}
    return [
        ("Models and data" if spec.get("models") else "Data", things),
        ("Settings", shown),
        ("Versions", [(name, _value(value)) for name, value in versions.items()]),
    ]


def headline(audit: Audit) -> dict[str, Any]:
    """The headline rate with its interval, formatted."""
    given: Mapping[str, Any] = audit.verdict.get("headline") or {}
    baselines = ("floor", "base", "ceiling")
    beside = {who: share(given.get(who)) for who in baselines}
    kinds = audit.rates_by("kind", "match")
    if audit.is_match and kinds:
        given = kinds[0]
        beside = {who: share(given, f"{who}_") for who in baselines}
    value = share(given)
    bars, end = strips({"tuned": value, **beside}, audit.who)
    excess = _difference(given, "excess")
    words = None if value is None else {"number": figure(value.rate), "interval": span(value.low, value.high),
                                        "count": count(value)}  # fmt: skip
    return {"value": words, "strips": bars, "end": end, "excess": excess}


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value) or "none"
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if value is None or isinstance(value, bool):
        return {None: "not given", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
