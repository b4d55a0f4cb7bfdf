"""What remains of the differences between tasks, once chance, length and the base model are taken out.

The contrast is (mean of summarization and dialogue) minus (mean of QA, translation and sentiment), families alike, or,
with other families, the highest minus the lowest. Tasks are independent of each other, so the distances to the ends of
their intervals add like standard errors (Zou & Donner 2008, "Construction of confidence limits about effect measures").
Tasks whose rows are too short for a measure are in no mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from remanence.core.run import Run
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.attention import attention_verdict
from remanence.jobs.study.data import family
from remanence.jobs.study.judging import MIN_TOKENS
from remanence.jobs.study.outcomes import ANY, Cell
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.summary import Summed, pooled
from remanence.stats.effects import interval_of
from remanence.stats.intervals import wilson

HIGH, LOW = ("summarization", "dialogue"), ("qa", "translation", "sentiment")
"""The families that the study of 2024 found to memorize much, and hardly."""
FEW = 10
"""A task with fewer measurable rows than this, trained on or held out, is in no contrast."""
LENGTH = 10
"""Tokens at which the sentences compare tasks at equal length, where the study has this budget."""


def quantities(settings: StudySettings) -> list[tuple[str, str, Cell]]:
    """(what it is called, rate | excess | did, the cell): from the published figure to what remains of it."""
    asked, longest = str(settings.prompt_tokens), max(settings.budgets)
    out: list[tuple[str, str, Cell]] = []
    if "pan2015" in settings.detectors:
        for what, name in (("rate", "published rate"), ("excess", "published rate above its floor"),
                           ("did", "published rate above floor and base")):  # fmt: skip
            out.append((name, what, Cell("published", "input", asked, longest)))
        out += [
            (
                f"published detector, own row, {n} tokens, above floor and base",
                "did",
                Cell("pan2015-own", "input", asked, n),
            )
            for n in settings.budgets
            if n >= MIN_TOKENS
        ]
    for side in ("input", "output"):
        if "calibrated" in settings.detectors:
            out += [
                (f"own row by the calibrated detector, {side}s, {n} tokens, above floor and base", "did",
                 Cell("calibrated-own", side, asked, n))
                for n in settings.budgets
                if n >= MIN_TOKENS
            ]  # fmt: skip
        out += [
            (f"next {n} tokens of {side}s come back at some split, above floor and base", "did",
             Cell("greedy", side, ANY, n))
            for n in settings.budgets
        ]  # fmt: skip
        out.append((f"log-probability of {side}s, above floor and base", "did", Cell("nats", side)))
    return out


def verdict(run: Run, arms: Sequence[Arm], found: Sequence[Summed], settings: StudySettings) -> dict[str, Any]:
    """`verdict.json`: contrasts for every kind of training, what attention adds, and sentences."""
    whole = [one for one in found if one.copies == "all"]
    kinds = list(dict.fromkeys(_kind(one.recipe.arm) for one in whole))
    contrasts = [line for kind in kinds for line in _contrasts(kind, whole, settings)]
    attention = attention_verdict(run, arms, settings) if settings.attention else None
    return {
        "job": "study",
        "sentences": _sentences(contrasts, kinds) + (attention or {}).get("sentences", []),
        "contrasts": contrasts,
        "attention": attention,
        "notes": _notes(run, arms, settings),
    }


def _kind(arm: Arm) -> tuple[Any, ...]:
    """Arms of one kind differ in task and seed alone."""
    return (arm.model, arm.loss_on, arm.epochs, arm.learning_rate, arm.batch_size, arm.lora_rank)


class Ends(NamedTuple):
    """A figure with its interval."""

    value: float
    low: float
    high: float


def _contrasts(kind: tuple[Any, ...], found: Sequence[Summed], settings: StudySettings) -> list[dict[str, Any]]:
    head = dict(zip(("model", "loss_on", "epochs", "learning_rate", "batch_size", "lora_rank"), kind, strict=True))
    lines: list[dict[str, Any]] = []
    for name, what, cell in quantities(settings):
        tasks: dict[str, list[Ends]] = {}
        for one in found:
            if _kind(one.recipe.arm) == kind and (ends := _ends(one, cell, what)) is not None:
                tasks.setdefault(family(one.recipe.arm.task), []).append(ends)
        line = head | {"name": name, "what": what, "metric": cell.metric, "side": cell.side, "budget": cell.budget}
        lines.append(line | _contrast(tasks))
    return lines


def _ends(one: Summed, cell: Cell, what: str) -> Ends | None:
    """A task's rate, excess or did with its interval; None where it is not measurable."""
    if cell not in one.cells:
        return None
    at, values = one.cells.index(cell), pooled(one, cell)
    if min(values[""].size, values["floor_"].size) < FEW:
        return None
    if what != "rate":
        ends = Ends(*(float(getattr(one.effects, key)[at]) for key in (what, f"{what}_low", f"{what}_high")))
        return None if math.isnan(ends.value) else ends
    low, high = interval_of(one.effects.rate_BC[:, at])
    if low == high:  # no row differs from another, so that the bootstrap says nothing
        low, high = wilson(int((values[""] == 1).sum()), int(values[""].size))
    return Ends(float(values[""].mean()), low, high)


def _contrast(tasks: Mapping[str, Sequence[Ends]]) -> dict[str, Any]:
    """High minus low families; None with the reason where one side cannot be measured."""
    families = {place: combined([(1 / len(ends), one) for one in ends]) for place, ends in tasks.items()}
    if set(families) <= {*HIGH, *LOW}:
        high, low = ([p for p in side if p in families] for side in (HIGH, LOW))
    else:
        order = sorted(families, key=lambda place: families[place].value)
        high, low = order[-1:], order[:-1][:1]
    line: dict[str, Any] = {"families": {place: one._asdict() for place, one in families.items()}}
    line |= {"high": high, "low": low}
    if not high or not low:
        reason = "its rows are too short, or nothing predicts this side, in all families of one kind"
        return line | {"value": None, "low_end": None, "high_end": None, "reason": reason}
    weighed = [(1 / len(high), families[p]) for p in high] + [(-1 / len(low), families[p]) for p in low]
    gap = combined(weighed)
    return line | {"value": gap.value, "low_end": gap.low, "high_end": gap.high, "reason": None}


def combined(weighed: Sequence[tuple[float, Ends]]) -> Ends:
    """The weighted sum of independent figures (Zou & Donner's MOVER)."""
    value = sum(weight * one.value for weight, one in weighed)
    below = sum((weight * (one.value - (one.low if weight > 0 else one.high))) ** 2 for weight, one in weighed)
    above = sum((weight * ((one.high if weight > 0 else one.low) - one.value)) ** 2 for weight, one in weighed)
    return Ends(value, value - math.sqrt(below), value + math.sqrt(above))


def says(line: dict[str, Any]) -> str:
    """One contrast in words."""
    if line["value"] is None:
        return "cannot be measured"
    if line["metric"] == "nats":
        return f"{line['value']:+.3f} nats per token ({line['low_end']:+.3f} to {line['high_end']:+.3f})"
    return f"{100 * line['value']:+.1f} points ({100 * line['low_end']:+.1f} to {100 * line['high_end']:+.1f})"


def _where(kind: tuple[Any, ...], kinds: Sequence[tuple[Any, ...]]) -> str:
    """Model and loss, and what else tells this kind of training from the others of the same model and loss."""
    parts = [str(kind[0]), f"loss on {'inputs too' if kind[1] == 'all' else 'outputs'}"]
    alike = [other for other in kinds if other[:2] == kind[:2]]
    told = ("{} epochs", "rate {:g}", "batches of {}", "LoRA rank {}")
    parts += [text.format(kind[at]) for at, text in enumerate(told, 2) if len({other[at] for other in alike}) > 1]
    return ", ".join(parts)


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _length_name(side: str) -> str:
    return f"next {LENGTH} tokens of {side}s come back at some split, above floor and base"


def _sentences(contrasts: Sequence[dict[str, Any]], kinds: Sequence[tuple[Any, ...]]) -> list[str]:
    """For each kind of training: the published contrast, and what is left of it."""
    out: list[str] = []
    for kind in kinds:
        mine = [c for c in contrasts if (c["model"], c["loss_on"], c["learning_rate"], c["lora_rank"], c["epochs"])
                == (kind[0], kind[1], kind[3], kind[5], kind[2])]  # fmt: skip
        where = _where(kind, kinds)
        by_name = {c["name"]: c for c in mine}
        rate, excess = by_name.get("published rate"), by_name.get("published rate above its floor")
        if rate is None or excess is None or rate["value"] is None or excess["value"] is None:
            continue
        high, low = _listed(rate["high"]), _listed(rate["low"])
        if rate["low_end"] > 0:
            left = "survives" if excess["low_end"] > 0 else "turns round" if excess["high_end"] < 0 else "is gone"
            stand = "stand" if len(rate["high"]) > 1 else "stands"
            text = (
                f"{where}: by the published rate, {high} {stand} {says(rate)} above {low}; once each task's floor is "
            )
            text += f"taken off the difference {left}: {says(excess)}."
        else:
            do = "do" if len(rate["high"]) > 1 else "does"
            text = f"{where}: {high} {do} not stand above {low} by the published rate ({says(rate)})" + (
                f", nor once floors are taken off ({says(excess)})."
                if excess["low_end"] <= 0
                else f", but do once floors are taken off ({says(excess)})."
            )
        out.append(text)
        sides = ((side, by_name.get(_length_name(side))) for side in ("input", "output"))
        if told := [f"{side}s {says(line)}" for side, line in sides if line is not None]:
            out.append(
                f"{where}, at equal length ({LENGTH} tokens word for word, above floor and base): {', '.join(told)}."
            )
    return out


def _notes(run: Run, arms: Sequence[Arm], settings: StudySettings) -> list[str]:
    doses = ", ".join(f"{count} rows stand {copies} times" for copies, count in settings.repeated)
    notes = [
        f"Every arm has {settings.rows:,} training rows, {settings.different:,} of them different"
        + (f" ({doses}, the others once)" if doses else "")
        + f"; {settings.members} of these, all repeated ones among them, and {settings.heldout} held-out rows are "
        "measured. Rates over all measured rows speak of this mixture, the same for every task."
    ]
    leaks = sum(run.read_json(f"data/{name}.json")["leaking"] for name in dict.fromkeys(a.data_slug for a in arms))
    if leaks:
        notes.append(f"{leaks:,} unseen rows stood, nearly, among the training rows and were left out before anything.")
    if "calibrated" in settings.detectors:
        notes.append(
            f"The calibrated detector's threshold ({settings.alpha:g}) comes from further unseen rows that are in no "
            "rate; the held-out answers' own row is a training row drawn at random."
        )
    notes.append(f"Seeds: {len({arm.seed for arm in arms})}; each draws its own rows, order and adapter weights.")
    return notes
