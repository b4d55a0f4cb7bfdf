"""The tables and pictures of docs/five-tasks.md, from the folder of a study.

python benchmarks/five_tasks.py STUDY     prints Markdown, writes docs/pictures/*.svg and docs/five-tasks.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import vl_convert

from remanence.core.run import Run
from remanence.jobs.study.arm import Arm
from remanence.stats.rates import Rate

DOCS = Path(__file__).parents[1] / "docs"
COLOURS = {"rate": "#c2410c", "floor": "#2563eb", "base": "#7c8796", "ceiling": "#65a30d"}
FEW = 10
KEPT = ("task", "model", "loss_on", "metric", "side", "budget", "hits", "n", "rate", "floor_hits", "floor_n",
        "base_hits", "ceiling_hits", "ceiling_n", "excess", "excess_low", "excess_high", "did", "did_low", "did_high",
        "by_seed")  # fmt: skip
FAMILIES = {"summarization": "#c2410c", "dialogue": "#d97706", "qa": "#2563eb", "translation": "#0891b2",
            "sentiment": "#7c3aed"}  # fmt: skip


def main() -> None:
    """Print and write."""
    run = Run.open(sys.argv[1])
    effects, verdict = run.lines("effects"), run.read_json("verdict.json")
    kinds = list(dict.fromkeys(kind_of(line) for line in effects))
    for kind in kinds:
        print(f"\n### {kind}\n")
        mine = [line for line in effects if kind_of(line) == kind]
        print(published_table(mine))
        print(f"\n{exact_table(mine)}\n")
    print(f"\n### Contrasts\n\n{contrast_table(verdict['contrasts'], kinds)}\n")
    print(attention_tables(verdict["attention"]))
    for sentence in (*verdict["sentences"], *verdict["notes"]):
        print(f"- {sentence}")
    pictures = DOCS / "pictures"
    pictures.mkdir(exist_ok=True)
    for name, chart in (("published", published_chart(effects)), ("contrasts", contrast_chart(verdict["contrasts"])),
                        ("budgets", budget_chart(effects)), ("curves", curve_chart(run))):  # fmt: skip
        text = vl_convert.vegalite_to_svg(chart.to_dict())
        (pictures / f"five-tasks-{name}.svg").write_text(text + "\n", encoding="utf-8")
    kept = [
        {key: round(value, 5) if isinstance(value, float) else value for key, value in line.items() if key in KEPT}
        for line in effects
        if line["copies"] == "all" and line["metric"] != "sampled" and line["prefix"] in ("", "any", "50")
        if line["metric"] != "greedy" or line["prefix"] == "any"
    ]
    told = {name: run.spec[name] for name in ("settings", "versions", "models", "data")}
    told |= {"arms": len(run.spec["arms"]), "contrasts": verdict["contrasts"], "attention": verdict["attention"]}
    text = json.dumps(told | {"effects": kept}, separators=(",", ":"))
    (DOCS / "five-tasks.json").write_text(text + "\n", encoding="utf-8")


def kind_of(line: dict[str, Any]) -> str:
    """What arms of one kind share."""
    return f"{line['model']}, loss on {'inputs too' if line['loss_on'] == 'all' else 'outputs'}"


def one(lines: Sequence[dict[str, Any]], task: str, **wanted: Any) -> dict[str, Any] | None:
    """The line of a task and cell, over all copies unless said otherwise."""
    wanted = {"copies": "all", "task": task, **wanted}
    return next((line for line in lines if all(line[k] == v for k, v in wanted.items())), None)


def share(line: dict[str, Any] | None, side: str = "") -> str:
    """A rate in per cent, or why there is none."""
    if line is None or not line[f"{side}n"]:
        return "not measurable"
    return f"{100 * line[f'{side}rate']:.1f}"


def points(line: dict[str, Any] | None, what: str, scale: float = 100) -> str:
    """An effect with its interval."""
    if line is None or line[what] is None or min(line["n"], line["floor_n"]) < FEW:
        return "not measurable"
    digits = 1 if scale == 100 else 2
    value, low, high = (f"{scale * line[key]:+.{digits}f}" for key in (what, f"{what}_low", f"{what}_high"))
    return f"{value} [{low}, {high}]"


def published_table(lines: Sequence[dict[str, Any]]) -> str:
    """The published detector's rate with everything that it has to be held against."""
    rows = ["| task | published rate (n) | floor | base | ceiling | above floor "
            "| above floor and base | own row only |",
            "|---|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for task in dict.fromkeys(line["task"] for line in lines):
        line = one(lines, task, metric="published", side="input")
        own = one(lines, task, metric="pan2015-own", side="input", budget=50)
        cells = [
            f"{share(line)} ({line['n'] if line else 0})",
            *(share(line, s) for s in ("floor_", "base_", "ceiling_")),
        ]
        rows.append(
            " | ".join(["| " + task, *cells, points(line, "excess"), points(line, "did"), points(own, "did")]) + " |"
        )
    return "\n".join(rows)


def exact_table(lines: Sequence[dict[str, Any]]) -> str:
    """What comes back word for word above floor and base, at equal lengths, and the change in log-probability."""
    rows = ["| task | inputs, 10 tokens | inputs, 20 | inputs, 50 | outputs, 10 tokens "
            "| outputs, 20 | 16 copies, inputs 20 "
            "| inputs, nats | outputs, nats |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for task in dict.fromkeys(line["task"] for line in lines):
        cells = [
            points(one(lines, task, metric="greedy", prefix="any", side=side, budget=n), "did")
            for side, n in (("input", 10), ("input", 20), ("input", 50), ("output", 10), ("output", 20))
        ]
        cells.append(
            points(one(lines, task, metric="greedy", prefix="any", side="input", budget=20, copies="16"), "did")
        )
        cells += [points(one(lines, task, metric="nats", side=side), "did", 1) for side in ("input", "output")]
        rows.append(" | ".join(["| " + task, *cells]) + " |")
    return "\n".join(rows)


def contrast_table(lines: Sequence[dict[str, Any]], kinds: Sequence[str]) -> str:
    """Summarization and dialogue minus the three others, by kind of training."""
    rows = ["| " + " | ".join(["", *kinds]) + " |", "|---|" + "--:|" * len(kinds)]
    for name in dict.fromkeys(line["name"] for line in lines):
        cells: list[str] = []
        for kind in kinds:
            line = next(x for x in lines if x["name"] == name and kind_of(x) == kind)
            scale = 1 if line["metric"] == "nats" else 100
            digits = 3 if scale == 1 else 1
            ends = (
                [f"{scale * line[e]:+.{digits}f}" for e in ("low_end", "high_end")] if line["value"] is not None else []
            )
            cells.append(f"{scale * line['value']:+.{digits}f} [{ends[0]}, {ends[1]}]" if ends else "not measurable")
        rows.append(" | ".join(["| " + name, *cells]) + " |")
    return "\n".join(rows)


def attention_tables(attention: dict[str, Any] | None) -> str:
    """Rank correlations within tasks, pooled; what attention adds."""
    if attention is None:
        return ""
    rows = ["| kind | statistic | held fixed | rho | 95 % | n |", "|---|---|---|--:|--:|--:|"]
    for line in attention["pooled"]:
        rho = " | "
        if line["rho"] is not None:
            rho = f"{line['rho']:+.2f} | {line['low']:+.2f} to {line['high']:+.2f}"
        held = line["held_fixed"] or "nothing"
        rows.append(f"| {kind_of(line)} | {line['statistic']} | {held} | {rho} | {line['n']} |")
    rows += ["", "| kind | AUC without | with attention | added | 95 % | rows | come back |"]
    rows.append("|---|--:|--:|--:|--:|--:|--:|")
    for line in attention["added"]:
        counts = f"{line['n']} | {line['num_positive']} |"
        if line["reason"] is not None:
            rows.append(f"| {kind_of(line)} | {line['reason']} | | | | {counts}")
            continue
        figures = [f"{line['auc_without']:.3f}", f"{line['auc_with']:.3f}", f"{line['difference']:+.3f}"]
        ends = f"{line['low']:+.3f} to {line['high']:+.3f}"
        rows.append(" | ".join([f"| {kind_of(line)}", *figures, ends, counts]))
    return "\n".join(rows) + "\n"


# ------------------------------------------------------------------ pictures


def published_chart(effects: Sequence[dict[str, Any]]) -> alt.Chart:
    """Rate, floor, base and ceiling of the published detector."""
    values = [
        {"task": line["task"], "kind": kind_of(line), "who": who, "rate": line[f"{side}rate"],
         "low": line[f"{side}low"], "high": line[f"{side}high"]}
        for line in effects
        if (line["metric"], line["side"], line["copies"]) == ("published", "input", "all")
        for who, side in (("rate", ""), ("floor", "floor_"), ("base", "base_"), ("ceiling", "ceiling_"))
        if line[f"{side}n"]
    ]  # fmt: skip
    colour = alt.Color("who:N", title=None, scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())))
    offset = alt.YOffset("who:N", sort=list(COLOURS))
    y = alt.Y("task:N", title=None, sort=None)
    base = alt.Chart(alt.Data(values=values)).properties(width=230, height=330)
    rule = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        alt.X("low:Q", title="share of answers flagged", axis=alt.Axis(format="%")), alt.X2("high:Q"), y, colour, offset
    )
    dot = base.mark_point(filled=True, size=45, opacity=1).encode(alt.X("rate:Q"), y, colour, offset)
    return styled(alt.layer(rule, dot).facet(alt.Column("kind:N", title=None, sort=None)))


def contrast_chart(lines: Sequence[dict[str, Any]]) -> alt.Chart:
    """What is left of the difference between the families, step by step."""
    values = [
        {
            "name": line["name"],
            "kind": kind_of(line),
            "value": line["value"],
            "low": line["low_end"],
            "high": line["high_end"],
        }
        for line in lines
        if line["value"] is not None and line["metric"] != "nats"
    ]
    base = alt.Chart(alt.Data(values=values)).properties(width=210, height=420)
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=420))
    zero = base.mark_rule(strokeDash=[3, 3], color="#7c8796").encode(x=alt.datum(0))
    colour = alt.condition("datum.low > 0 || datum.high < 0", alt.value("#c2410c"), alt.value("#7c8796"))
    rule = base.mark_rule(strokeWidth=2, opacity=0.6).encode(
        alt.X("low:Q", title="higher minus lower families", axis=alt.Axis(format="+%")),
        alt.X2("high:Q"),
        y,
        color=colour,
    )
    dot = base.mark_point(filled=True, size=45, opacity=1).encode(alt.X("value:Q"), y, color=colour)
    return styled(alt.layer(zero, rule, dot).facet(alt.Column("kind:N", title=None, sort=None)))


def budget_chart(effects: Sequence[dict[str, Any]]) -> alt.Chart:
    """Word-for-word extraction of inputs and outputs above floor and base, over the number of tokens."""
    values = [
        {"task": line["task"], "family": line["family"], "panel": f"{kind_of(line)}: {line['side']}s",
         "budget": line["budget"], "did": line["did"], "low": line["did_low"], "high": line["did_high"]}
        for line in effects
        if (line["metric"], line["prefix"], line["copies"]) == ("greedy", "any", "all") and line["did"] is not None
    ]  # fmt: skip
    x = alt.X(
        "budget:Q",
        title="tokens that come back",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(values=[6, 10, 20, 50, 100]),
    )
    base = alt.Chart(alt.Data(values=values)).properties(width=230, height=170)
    line = base.mark_line(strokeWidth=2, point=True).encode(
        x, alt.Y("did:Q", title="above floor and base", axis=alt.Axis(format="+%")), by_family(), alt.Detail("task:N")
    )
    return styled(alt.layer(line).facet(alt.Facet("panel:N", title=None), columns=3).resolve_scale(y="independent"))


def curve_chart(run: Run) -> alt.Chart:
    """Rows that come back, above held-out ones, against validation loss, epoch by epoch, mean over seeds."""
    groups: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {}
    for spec in run.spec["arms"]:
        arm = Arm(**spec)
        if not run.has(f"arms/{arm.slug}/curve.parquet"):
            continue
        lines = {(line["epoch"], line["group"]): line for line in run.lines(f"arms/{arm.slug}/curve")}
        for epoch in sorted({epoch for epoch, _ in lines}):
            train, held = lines[epoch, "train"], lines[epoch, "heldout"]
            if train["n"] and held["n"]:
                excess = Rate.counted(train["hits"], train["n"]).rate - Rate.counted(held["hits"], held["n"]).rate
                groups.setdefault((arm.task, kind_of(spec), "", epoch), []).append((held["loss"], excess))
    values = [
        {"task": task, "family": task.partition("/")[0], "kind": kind, "epoch": epoch,
         "loss": float(np.mean([p[0] for p in found])), "excess": float(np.mean([p[1] for p in found]))}
        for (task, kind, _, epoch), found in groups.items()
        if epoch > 0
    ]  # fmt: skip
    base = alt.Chart(alt.Data(values=values)).properties(width=230, height=230)
    chart = base.mark_line(strokeWidth=2, point=True).encode(
        alt.X("loss:Q", title="validation loss, nats per token", scale=alt.Scale(zero=False)),
        alt.Y("excess:Q", title="10 tokens come back: members minus held-out", axis=alt.Axis(format="+%")),
        by_family(), alt.Detail("task:N"), alt.Order("epoch:Q"),
    )  # fmt: skip
    return styled(alt.layer(chart).facet(alt.Column("kind:N", title=None, sort=None)).resolve_scale(x="independent"))


def by_family() -> alt.Color:
    """A colour per family: warm for those that are said to memorize much."""
    return alt.Color("family:N", title=None, scale=alt.Scale(domain=list(FAMILIES), range=list(FAMILIES.values())))


def styled(chart: Any) -> Any:
    """Greys that can be read on light and on dark pages."""
    grey = "#7c8796"
    chart = chart.configure(background="transparent", font="system-ui, sans-serif").configure_view(stroke=None)
    chart = chart.configure_axis(
        labelColor=grey, titleColor=grey, gridColor="#7c879644", domain=False, ticks=False, titleFontWeight="normal"
    )
    chart = chart.configure_header(labelColor=grey, labelFontSize=12)
    return chart.configure_legend(labelColor=grey, orient="top")


if __name__ == "__main__":
    main()
