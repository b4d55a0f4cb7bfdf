"""A mitigation or a memory by name: the changed model, and the same evaluation before and after it.

Where weights change, the evaluation is an audit, and the model that is audited afterwards is the one that was saved,
opened again. Where only decoding changes, an audit from the token table would see no difference, so the evaluation is
the prefix attack, which generates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from remanence.core.catalogue import Entry, find
from remanence.core.errors import RemanenceError
from remanence.core.executor import Serial
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.target import Target
from remanence.core.verbs import Memory, Mitigation
from remanence.engine.opening import open_targets
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.compare import compare_runs
from remanence.jobs.forget.rows import partition_rows
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.systems.build import build
from remanence.jobs.systems.data import Data
from remanence.jobs.systems.measuring import Ran, require, run_measure, run_spec
from remanence.jobs.systems.settings import RunSettings
from remanence.models.settings import TargetSettings
from remanence.report.html import write_report
from remanence.stats.intervals import paired_difference
from remanence.stats.rates import Rate
from remanence.training.callbacks import save_model

MODEL = "model"
"""Folder of the changed model in the run folder."""


@dataclass(frozen=True)
class Given:
    """The user's rows: all of them, and the ids of those to forget with the reason."""

    train: Sequence[Record]
    heldout: Sequence[Record] | None
    forget: Mapping[str, str]
    data: Data
    names: dict[str, str]


def run_change(
    run: Run,
    entry: Entry,
    system: Mitigation | Memory,
    targets: Mapping[str, Target],
    given: Given,
    settings: RunSettings,
    *,
    trust_remote_code: bool,
    reveal: bool,
    show: bool,
) -> Ran:
    """Evaluate the model, change it, save it, and evaluate again: folders `before`, `model`, `after`."""
    start = starting(entry, system, targets)
    require(entry, start)
    decodes = isinstance(system, Mitigation) and not system.changes_weights
    if decodes:
        changed = system(start, records_for(entry, system, given, settings))
        verdict = _attacked(run, entry.title, targets["tuned"], changed, given, settings, reveal=reveal, show=show)
    else:
        verdict = _audited(run, entry, system, start, targets, given, settings, trust_remote_code, reveal, show)
    run.write_json("verdict.json", verdict)
    return Ran(run, verdict)


def starting(entry: Entry, system: Mitigation | Memory, targets: Mapping[str, Target]) -> Target:
    """The target that the system is given: the base model where it trains anew, else the fine-tuned model."""
    if isinstance(system, Mitigation) and system.trains_from_base:
        if "base" not in targets:
            raise RemanenceError(f"{entry.cls} trains the base model on the rows anew: add --base.")
        return targets["base"]
    return targets["tuned"]


def records_for(entry: Entry, system: Mitigation | Memory, given: Given, settings: RunSettings) -> list[Record]:
    """The rows as the system takes them.

    To train anew: training rows, copies included, and held-out rows. To guard decoding, or to remember: the rows named
    to forget, or all training rows. To unlearn: groups forget, retain and heldout; copies and near copies of a row to
    forget are forgotten with it.
    """
    if isinstance(system, Mitigation) and system.trains_from_base:
        return [*given.train, *(given.heldout or ())]
    if isinstance(system, Memory) or not system.changes_weights:
        return [record for record in given.train if not given.forget or record.id in given.forget]
    if not given.forget:
        raise RemanenceError(f"{entry.cls} forgets rows that you name: add --forget, ids or a file of rows.")
    chosen = ForgetSettings(seed=settings.seed)
    sides = partition_rows(given.train, given.forget, None, given.heldout, chosen)
    return [*sides.forget, *sides.retain, *sides.guide]


def _audited(
    run: Run,
    entry: Entry,
    system: Mitigation | Memory,
    start: Target,
    targets: Mapping[str, Target],
    given: Given,
    settings: RunSettings,
    trust_remote_code: bool,
    reveal: bool,
    show: bool,
) -> dict[str, Any]:
    chosen = AuditSettings(**{field.name: getattr(settings, field.name) for field in fields(TargetSettings)})
    base = targets.get("base")

    def audit(target: Target, name: str) -> Run:
        folder = run.folder / name
        resume = (folder / "run.json").exists()
        done = run_audit(
            target, given.train, given.heldout, base, folder, chosen, names=given.names, resume=resume, show=show
        )
        _ = write_report(done.run, reveal=reveal)
        return done.run

    before = audit(targets["tuned"], "before")
    place = run.folder / MODEL
    if not place.is_dir():
        changed: Any = system(start, records_for(entry, system, given, settings))
        if getattr(changed, "module", None) is None or getattr(changed, "tokenizer", None) is None:
            raise RemanenceError(f"{entry.cls} gives a target that cannot be saved as a model folder.")
        save_model(changed.module, changed.tokenizer, place)
    after = audit(opened_again(place, settings, trust_remote_code), "after")
    comparison = compare_runs(before, after)
    first = _sentence(entry.title, comparison.one, comparison.other, comparison)
    verdict: dict[str, Any] = {
        "sentences": [first, *_named(comparison, given)],
        "comparison": comparison.to_json(),
        "model": MODEL,
        "notes": list(comparison.notes),
    }
    return verdict


def opened_again(place: Path, settings: RunSettings, trust_remote_code: bool) -> Target:
    """The saved model. Its name in tables is that of the run, not `model`."""
    target: Any = open_targets(place, None, settings, trust_remote_code)[0]
    target.name = f"{place.parent.name}/{place.name}"
    return target


def _named(comparison: Any, given: Given) -> list[str]:
    """What became of the rows that were named, where some were."""
    if not given.forget:
        return []
    went = sum(record_id in given.forget for record_id in comparison.went)
    return [
        f"{len(given.forget):,} rows were named to be forgotten; {went:,} of them were extracted before and are not "
        f"now. Of the other rows, {len(comparison.went) - went:,} are no longer extracted."
    ]


def _attacked(
    run: Run,
    title: str,
    before: Target,
    changed: Target,
    given: Given,
    settings: RunSettings,
    *,
    reveal: bool,
    show: bool,
) -> dict[str, Any]:
    """The prefix attack on both targets."""
    entry = find("prefix")
    attack = build(entry, {})
    exact: dict[str, dict[tuple[str, int], bool]] = {}
    for name, target in (("before", before), ("after", changed)):
        targets = {"tuned": target}
        folder = run.folder / name
        spec = run_spec(entry, attack, given.data.spec, targets, settings)
        inner = Run.begin(folder, spec, resume=(folder / "run.json").exists())
        done = run_measure(
            inner, entry, attack, targets, given.data, settings, Serial(), lambda t=targets: t, show=show
        )
        _ = write_report(done.run, reveal=reveal)
        lines = done.run.lines("findings")
        exact[name] = {
            (line["group"], line["row"]): line["score"] == 1.0 for line in lines if line["score"] is not None
        }
    rows = [key for key in exact["before"] if key[0] == "train" and key in exact["after"]]
    a, b = (np.array([exact[name][key] for key in rows], bool) for name in ("before", "after"))
    one, other = Rate.of(a), Rate.of(b)
    difference = paired_difference(b, a)
    comparison = {
        "one": {"hits": one.hits, "n": one.n, "rate": one.rate},
        "other": {"hits": other.hits, "n": other.n, "rate": other.rate},
        "change": difference.value,
        "low": difference.interval.low,
        "high": difference.interval.high,
    }
    shown = _Change(difference.value, difference.interval.low, difference.interval.high)
    return {
        "sentences": [_sentence(title, one, other, shown)],
        "comparison": comparison,
        "model": None,
        "notes": [
            "Weights are unchanged, so no model is saved: the guard works in `generate` alone. Rows are counted that "
            "the prefix attack extracts."
        ],
    }


@dataclass(frozen=True)
class _Change:
    change: float
    low: float
    high: float


def _sentence(title: str, one: Rate, other: Rate, change: Any) -> str:
    return (
        f"{title}: of {one.n:,} rows, {one.hits:,} were extracted before and {other.hits:,} after: "
        f"{100 * change.change:+.1f} points (95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f})."
    )
