"""Partition of the rows before any method is tried: rows to forget, to keep, and to evaluate on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.engine.rows import first_places
from remanence.jobs.forget.settings import ForgetSettings
from remanence.text.duplicates import contamination, twin_groups

FEWEST_HELDOUT = 8
"""With fewer held-out rows, retain rows are set aside in their place."""
HeldoutKind: TypeAlias = Literal["heldout", "retain"]
"""What stands in for held-out rows: rows that were never trained on, or retain rows that were set aside."""
ASIDE = 0.1
"""Fraction of the retain rows that are then set aside."""


@dataclass(frozen=True)
class Sides:
    """The distinct rows of a forgetting, each on one side."""

    forget: Sequence[Record]
    """To be forgotten."""
    why: Mapping[str, str]
    """Forget row -> why it is one."""
    copies: Mapping[str, int]
    """Forget row -> how often the training data holds it."""
    retain: Sequence[Record]
    """Trained on beside them, to be kept."""
    untouched: Sequence[Record]
    """Training rows, some retain rows among them, on which the model should not change; only measured."""
    guide: Sequence[Record]
    """Held-out rows that select the state of a method: the guard measures their loss."""
    judge: Sequence[Record]
    """Held-out rows that no method uses: the cost is measured on them."""
    heldout_is: HeldoutKind
    """Whether guide and judge were never trained on ("heldout") or are retain rows kept aside ("retain")."""
    rest: Sequence[Record]
    """All training rows but those to forget, copies included: what a retrained model learns."""
    notes: tuple[str, ...] = ()


class RowOutcome(Protocol):
    """One training row in an audit."""

    @property
    def id(self) -> str: ...
    @property
    def comes_back(self) -> bool: ...
    @property
    def shortest_prefix(self) -> int | None: ...


def leaking(run: Run, outcomes: Iterable[RowOutcome]) -> dict[str, str]:
    """Ids of the rows that are extracted in an audit, with the reason. `outcomes`: of its training rows."""
    if run.spec.get("job") != "audit":
        raise RemanenceError(
            f"{run.folder.name} is not the run of an audit: give the audit that found the extracted rows."
        )
    extracted = [row for row in outcomes if row.comes_back]
    if not extracted:
        raise RemanenceError(
            f"No row is extracted in {run.folder.name}, so there is nothing to forget: give rows with --forget."
        )
    return {row.id: f"extracted with a prefix of {row.shortest_prefix} tokens" for row in extracted}


def named_rows(given: Any, train: Sequence[Record], columns: Mapping[str, str]) -> dict[str, str]:
    """Ids of the rows that the user names, by id or by content, with the reason.

    `given`: ids, or rows like those of the training data (a path, dicts, `Record`s). Raises `RemanenceError` for a row
    that the training data do not hold.
    """
    if isinstance(given, list | tuple | set) and all(isinstance(one, str) for one in cast("Sequence[Any]", given)):
        return dict.fromkeys(cast("Sequence[str]", given), "named")
    rows = records_from(given, group="forget", **cast("Any", columns))
    by_text = {record.plain: record.id for record in reversed(train)}
    found: dict[str, str] = {}
    for row in rows:
        if row.plain not in by_text:
            raise RemanenceError(
                f"Row {row.id!r} is to be forgotten, but it is not in the training data: give rows as they were "
                "trained on, or their ids."
            )
        found[by_text[row.plain]] = "named"
    if not found:
        raise RemanenceError("There is no row to forget: the file has none.")
    return found


def partition_rows(
    train: Sequence[Record],
    wanted: Mapping[str, str],
    retain: Sequence[Record] | None,
    heldout: Sequence[Record] | None,
    settings: ForgetSettings,
) -> Sides:
    """Assign every row to a side. `wanted`: id of a row to forget -> why.

    Copies of a row to forget are forgotten with it; near duplicates too, unless `settings.near_duplicates` is "keep".
    Raises `RemanenceError` for an id that the data lack and when no row is left to retain.
    """
    first = first_places(train)
    place = {record.id: i for i, record in enumerate(train)}
    if lost := [id for id in wanted if id not in place]:
        raise RemanenceError(
            f"Row {lost[0]!r} is to be forgotten, but the training data have no such id "
            f"({len(lost)} unknown ids): give the data that the model was trained on."
        )
    why = {first[place[id]]: reason for id, reason in wanted.items()}
    if settings.near_duplicates == "forget":
        group = twin_groups([record.plain for record in train])
        named = {int(group[i]): i for i in sorted(why, reverse=True)}
        for i in range(len(train)):
            if first[i] == i and i not in why and int(group[i]) in named:
                why[i] = f"near duplicate of row {train[named[int(group[i])]].id}"
    gone = set(why)
    counted = np.bincount(np.array(first), minlength=len(train))
    rest = [record for i, record in enumerate(train) if first[i] not in gone]
    kept = [record for i, record in enumerate(train) if first[i] == i and i not in gone]
    notes: list[str] = []
    if retain is not None:
        kept = list(retain)
        texts = [train[i].plain for i in gone]
        seen = contamination(texts, [record.plain for record in kept])
        if seen.any():
            notes.append(f"{int(seen.sum()):,} retain rows are copies of rows to forget and were left out.")
        kept = [record for record, is_copy in zip(kept, seen, strict=True) if not is_copy]
    if not kept:
        raise RemanenceError("Every training row is to be forgotten: give rows to keep with --retain.")
    rng = np.random.default_rng(settings.seed)
    guide, judge, heldout_is, kept = _aside(train, heldout, kept, settings, rng, notes)
    order = rng.permutation(len(kept)).tolist()
    return Sides(
        forget=[replace(train[i], group="forget") for i in sorted(gone)],
        why={train[i].id: why[i] for i in sorted(gone)},
        copies={train[i].id: int(counted[i]) for i in sorted(gone)},
        retain=[replace(kept[i], group="retain") for i in order[: settings.retain_rows]],
        untouched=[replace(kept[i], group="train") for i in order[: settings.untouched_rows]],
        guide=guide,
        judge=judge,
        heldout_is=heldout_is,
        rest=rest,
        notes=tuple(notes),
    )


def _aside(
    train: Sequence[Record],
    heldout: Sequence[Record] | None,
    kept: list[Record],
    settings: ForgetSettings,
    rng: np.random.Generator,
    notes: list[str],
) -> tuple[list[Record], list[Record], HeldoutKind, list[Record]]:
    """(guide rows, judge rows, what they are, the remaining retain rows)."""
    if heldout is not None:
        rows = [heldout[i] for i in dict.fromkeys(first_places(heldout))]
        seen = contamination([record.plain for record in train], [record.plain for record in rows])
        if seen.any():
            notes.append(f"{int(seen.sum()):,} held-out rows are in the training data and were left out.")
        rows = [row for row, is_copy in zip(rows, seen, strict=True) if not is_copy]
        if len(rows) >= FEWEST_HELDOUT:
            picked = [replace(rows[i], group="heldout") for i in rng.permutation(len(rows))[: settings.heldout_rows]]
            half = (len(picked) + 1) // 2
            return picked[:half], picked[half:], "heldout", kept
        notes.append(f"Only {len(rows)} held-out rows are usable; retain rows were set aside in their place.")
    number = min(settings.heldout_rows, max(2, round(ASIDE * len(kept))))
    if len(kept) < 2 * number:
        raise RemanenceError(
            f"Only {len(kept)} rows are left to keep, too few to measure the cost on: "
            "give held-out rows with --heldout."
        )
    notes.append(
        f"The cost is measured on {number} retain rows: they were trained on, so their loss is no held-out loss, "
        "and there is no floor. Give rows that were not trained on with --heldout."
    )
    order = rng.permutation(len(kept)).tolist()
    aside = [replace(kept[i], group="heldout") for i in order[:number]]
    half = (number + 1) // 2
    return aside[:half], aside[half:], "retain", [kept[i] for i in sorted(order[number:])]


def forget_row_lines(sides: Sides) -> list[dict[str, Any]]:
    """The lines of `forget_rows.parquet`."""
    return [{"id": row.id, "why": sides.why[row.id], "copies": sides.copies[row.id]} for row in sides.forget]
