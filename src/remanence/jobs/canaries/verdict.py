"""The verdict on the canaries in sentences: exposure by repetition, extracted secrets, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from remanence.jobs.canaries.key import Key
from remanence.stats.trend import dose_trend

Line = Mapping[str, Any]
FEW = 5
"""Canaries of a repetition count below which nothing but examples is claimed."""


def verdict(exposures: Sequence[Line], summary: Sequence[Line], key: Key, seed: int) -> dict[str, Any]:
    """`verdict.json`."""
    pooled = "all" if any(line["band"] == "all" for line in summary) else summary[0]["band"]
    tuned = {r["copies"]: r for r in summary if _is(r, "tuned", "loss", pooled)}
    base = {r["copies"]: r for r in summary if _is(r, "base", "loss", pooled)}
    doses = [copies for copies in tuned if copies]
    measured = [r for r in exposures if (r["target"], r["measure"], r["kind"]) == ("tuned", "loss", "canary")]
    measured = [r for r in measured if r["exposure"] is not None]
    trend = None
    if len({r["copies"] for r in measured}) > 1:
        found = dose_trend(
            np.array([r["copies"] for r in measured]), np.array([r["exposure"] for r in measured]),
            np.array([r["band"] for r in measured]), seed,
        )  # fmt: skip
        trend = {"correlation": None if np.isnan(found.correlation) else found.correlation, "p_value": found.p_value}
    return {
        "sentences": [_exposure_sentence(tuned, doses), *_trend_sentence(trend), _secret_sentence(tuned, doses)],
        "headline": [_headline(tuned[copies], base.get(copies)) for copies in tuned],
        "trend": trend,
        "notes": list(_notes(tuned, base, doses, exposures, key)),
    }


def _exposure_sentence(tuned: Mapping[int, Line], doses: Sequence[int]) -> str:
    most, least = tuned[doses[-1]], tuned[doses[0]]
    if most["exposure"] is None:
        return "No canary could be measured."
    said = (
        f"Canaries planted {_times(doses[-1])} have a mean exposure of {_mean(most)}, "
        f"where chance is {most['chance']:.1f} and the maximum by rank {most['most']:.1f}"
    )
    if len(doses) > 1 and least["exposure"] is not None:
        said += f"; those planted {_times(doses[0])}, {_mean(least)}"
    return said + "."


def _trend_sentence(trend: Mapping[str, Any] | None) -> list[str]:
    if trend is None or trend["correlation"] is None:
        return []
    grows = trend["p_value"] < 0.05
    return [
        f"Exposure {'increases' if grows else 'does not detectably increase'} with repetition (rank correlation "
        f"{trend['correlation']:+.2f}, p = {trend['p_value']:.4f}, by permuting the numbers of copies)."
    ]


def _secret_sentence(tuned: Mapping[int, Line], doses: Sequence[int]) -> str:
    parts = [f"{tuned[c]['back_hits']} of {tuned[c]['back_n']} planted {_times(c)}" for c in reversed(doses)]
    floor = tuned.get(0)
    controls = f"; for secrets never planted, {floor['back_hits']} of {floor['back_n']}" if floor else ""
    return f"Given the text before it, the model generates the secret of {', '.join(parts)}{controls}."


def _headline(line: Line, base: Line | None) -> dict[str, Any]:
    names = ("copies", "n", "exposure", "exposure_low", "exposure_high", "chance", "most", "first", "fitted",
             "counted", "counted_low", "counted_high", "auc", "auc_low", "auc_high", "back_hits", "back_n", "back_rate",
             "back_low", "back_high")  # fmt: skip
    figures = {name: line[name] for name in names}
    return figures | {"base_exposure": None if base is None else base["exposure"]}


def _notes(
    tuned: Mapping[int, Line], base: Mapping[int, Line], doses: Sequence[int], exposures: Sequence[Line], key: Key
) -> list[str]:
    found: list[str] = []
    at_most = [c for c in doses if tuned[c]["first"]]
    if at_most:
        counts = ", ".join(f"{tuned[c]['first']} of {tuned[c]['n']} ({_times(c)})" for c in at_most)
        found.append(
            f"More likely than every control of their band: {counts}; for these, the exposure by rank is at least "
            f"{tuned[at_most[-1]]['most']:.1f} bits. `fitted` is an extrapolation (skew-normal), only indicative."
        )
    if base:
        highest = [f"{base[c]['exposure']:.1f} ({_times(c)})" for c in doses if base[c]["exposure"] is not None]
        found.append(f"The base model, which was not trained on them, has mean exposures of {', '.join(highest)} bits.")
    else:
        found.append("No base model was given, so the exposure of the canaries before training is not known.")
    few = [c for c in doses if tuned[c]["n"] < FEW]
    if few:
        found.append(
            f"Fewer than {FEW} canaries were planted {', '.join(_times(c) for c in few)}: treat them as examples."
        )
    lost = [r for r in exposures if r["target"] == "tuned" and r["measure"] == "loss" and r["reason"]]
    if lost:
        found.append(f"{len(lost)} rows could not be measured in full, the first because: {lost[0]['reason']}.")
    assert key.planted is not None
    before, after = key.planted["data"]["rows"], key.planted["written"]["rows"]
    found.append(
        f"{after - before:,} of {after:,} training rows were canaries. The result holds for made-up rows of their "
        "bands; it is no bound for real rows, which may be memorized more or less easily."
    )
    return found


def _is(line: Line, target: str, measure: str, band: str) -> bool:
    return (line["target"], line["measure"], line["band"]) == (target, measure, band)


def _times(copies: int) -> str:
    return "once" if copies == 1 else f"{copies:,} times"


def _mean(line: Line) -> str:
    """The mean with its interval; where every canary is first, ranks only tell the least that it can be."""
    mean = f"{line['exposure']:.1f} bits"
    if line["first"] == line["n"]:
        return f"at least {mean} (all {line['n']} are more likely than every control)"
    if line["exposure_low"] is None:
        return mean
    return f"{mean} (95 % interval {line['exposure_low']:.1f} to {line['exposure_high']:.1f})"
