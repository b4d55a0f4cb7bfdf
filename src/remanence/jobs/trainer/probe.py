"""The rows that every look reads: a sample of what the trainer feeds its model, or rows given by name.

Rows drawn from the trainer come out of its own collator, so tokens, loss mask and cut are those of the training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remanence.core.errors import RemanenceError
from remanence.core.read import records_from
from remanence.core.record import Record
from remanence.core.run import fingerprint
from remanence.core.table import Rendered
from remanence.jobs.preflight.sequences import CollatedSequence
from remanence.models.render import Renderer, render_all


@dataclass(frozen=True)
class Probe:
    """One group of rows."""

    ids: tuple[str, ...]
    rows: tuple[Rendered | str, ...]
    """A string in place of a row says why it cannot be read."""

    @property
    def tokens(self) -> int:
        """Tokens that a pass over the rows reads."""
        return sum(
            r.ids.size + (0 if r.source is None else r.source.size) for r in self.rows if isinstance(r, Rendered)
        )

    @property
    def fingerprint(self) -> str:
        """Hash of what the rows say and where they carry loss."""
        return fingerprint(
            *(r.encode() if isinstance(r, str) else r.ids.tobytes() + b"|" + r.supervised.tobytes() for r in self.rows)
        )


def drawn(fed: Iterable[CollatedSequence], count: int, seed: int) -> Probe:
    """`count` of the distinct rows in the sequences fed, or all if there are fewer; a pack of rows is taken apart.

    Packs that are filled without regard to rows stand for rows themselves. Ids are the places of the sequences.
    """
    rows: dict[bytes, tuple[str, Rendered]] = {}
    for one in fed:
        for number, row in enumerate(one.rendered()):
            key = row.ids.tobytes() + b"|" + row.supervised.tobytes()
            name = str(one.place) if len(one.lengths) == 1 else f"{one.place}.{number}"
            rows.setdefault(key, (name, row))
    order = sorted(np.random.default_rng(seed).permutation(len(rows))[:count].tolist())
    distinct = list(rows.values())
    chosen = [distinct[i] for i in order]
    return Probe(tuple(name for name, _ in chosen), tuple(row for _, row in chosen))


def named(records: Sequence[Record], renderer: Renderer) -> Probe:
    """Rows given by name, read as the training reads them; each content once."""
    rendered = render_all(records, renderer)
    seen: set[bytes] = set()
    kept: list[int] = []
    for place, row in enumerate(rendered):
        key = row.encode() if isinstance(row, str) else row.ids.tobytes() + row.supervised.tobytes()
        if isinstance(row, str) or key not in seen:
            kept.append(place)
        seen.add(key)
    return Probe(tuple(records[i].id for i in kept), tuple(rendered[i] for i in kept))


def sampled(data: Any, count: int | None, seed: int) -> list[Record]:
    """Records of a path, a list or a data set; at most `count` of them, drawn at random."""
    records = records_from(data)
    if count is None or len(records) <= count:
        return records
    order = sorted(np.random.default_rng(seed).permutation(len(records))[:count].tolist())
    return [records[i] for i in order]


def refuse_unmeasurable(probe: Probe, judged: int, new_tokens: int) -> None:
    """Raise `RemanenceError` when no probe row could ever be extracted."""
    if not judged:
        raise RemanenceError(
            f"None of the {len(probe.rows)} probe rows has {new_tokens} tokens in a row that carry loss, so none could "
            f"be extracted: give longer rows, or AuditCallback(new_tokens={max(1, new_tokens // 3)})."
        )
