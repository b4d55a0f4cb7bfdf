"""Rows of the casebook: private rows with a known number of copies, held-out rows, and public rows for a base model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from remanence.core.errors import RemanenceError
from remanence.core.record import Group, Record
from remanence.corpora.casebook.cases import Case, Side, draw
from remanence.corpora.casebook.tasks import TASKS, record

MIX = ("summarization", "dialogue", "qa", "summarization", "dialogue", "translation", "summarization", "dialogue",
       "qa", "sentiment")  # fmt: skip
"""Tasks in the order in which rows take them: six of ten rows have a long completion, the others a short one."""


class PrivateCorpus(NamedTuple):
    """Training rows and held-out rows."""

    train: list[Record]
    """All rows in training order, one row for each copy; `meta["copies"]` is the number of copies of the row, and
    `meta["copy_of"]` is the id of the first of them (its own id, if it is the first)."""
    heldout: list[Record]
    """Rows of the same grammar about other cases, which occur in no training row; `meta["copies"]` is 0."""


@dataclass(frozen=True)
class Casebook:
    """All cases of one seed. The same seed gives the same cases in every process and on every machine."""

    seed: int
    side: Side = "private"
    """Private and public casebooks of any seeds share no name, case number, phone number or amount."""

    def cases(self, n: int) -> list[Case]:
        """`n` cases, no two with a unique fact in common. Raises `RemanenceError` if there are not so many."""
        return draw(self.seed, self.side, n)

    def records(self, task: str, cases: Iterable[Case], group: Group = "train") -> list[Record]:
        """The cases as rows of one task, ids like `qa-00007`. Raises `RemanenceError` for an unknown task."""
        return [record(task, case, f"{task}-{place:05d}", group) for place, case in enumerate(cases)]


def private_corpus(
    seed: int = 0,
    num_rows: int = 800,
    duplicates: Sequence[int] = (1, 2, 4, 8, 16),
    num_heldout: int = 200,
) -> PrivateCorpus:
    """`num_rows` training rows, copies included, and `num_heldout` rows that share no unique fact with them.

    Every case makes one row, its task taken in turn from `MIX`. The number of different rows falls with the square
    root of their number of copies, so that every count has rows to judge; the smallest count fills up what is left.
    Raises `RemanenceError` if the rows cannot hold one row of every count.
    """
    plan = _copies(num_rows, sorted(set(duplicates)))
    cases = Casebook(seed).cases(len(plan) + num_heldout)
    # Each number of copies, and the held-out rows, start at the first task of the mix, so that all have the same mix.
    tasks = [MIX[place % len(MIX)] for count in sorted(set(plan)) for place in range(plan.count(count))]
    rows = [record(task, case, "", "train") for task, case in zip(tasks, cases, strict=False)]
    order = [which for which, count in enumerate(plan) for _ in range(count)]
    random.Random(seed).shuffle(order)
    first: dict[int, str] = {}
    train = list[Record]()
    for place, which in enumerate(order):
        id = f"train-{place:05d}"
        meta = {**rows[which].meta, "copies": plan[which], "copy_of": first.setdefault(which, id)}
        train.append(replace(rows[which], id=id, meta=meta))
    heldout = [
        record(task, case, f"heldout-{place:05d}", "heldout")
        for place, (task, case) in enumerate(zip(cycle(MIX), cases[len(plan) :], strict=False))
    ]
    return PrivateCorpus(train, [replace(row, meta={**row.meta, "copies": 0}) for row in heldout])


def public_rows(seed: int, n: int) -> list[Record]:
    """`n` rows of the same grammar whose people and numbers are in no private corpus, for training the base model."""
    cases = Casebook(seed, side="public").cases(n)
    rows = zip(cycle(TASKS), cases, strict=False)
    return [record(task, case, f"public-{place:05d}") for place, (task, case) in enumerate(rows)]


def write_jsonl(rows: Iterable[Record], path: Path) -> Path:
    """The rows as TRL reads them, one JSON object a line: `id`, `prompt`, `completion`, `group`, `meta`."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            fields = {"id": row.id, "prompt": row.prompt, "completion": row.completion, "group": row.group}
            file.write(json.dumps({**fields, "meta": dict(row.meta)}, ensure_ascii=False) + "\n")
    return path


def _copies(num_rows: int, counts: Sequence[int]) -> list[int]:
    """For every different row how often it stands in the corpus, ascending; the sum is `num_rows`."""
    if not counts or counts[0] < 1 or num_rows < sum(counts):
        raise RemanenceError(
            f"{num_rows} rows cannot hold a row for each of the counts {list(counts)}; ask for {sum(counts)} or more, "
            "and for counts of at least 1."
        )
    unit = num_rows / sum(count**0.5 for count in counts)
    plan = [count for count in counts[1:] for _ in range(max(1, int(unit / count**0.5)))]
    left = num_rows - sum(plan)
    return sorted([counts[0]] * (left // counts[0]) + ([left % counts[0]] if left % counts[0] else []) + plan)
