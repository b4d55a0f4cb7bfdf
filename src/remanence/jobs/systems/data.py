"""The rows of a run by name: distinct training rows with their copies, and held-out rows that are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.jobs.audit.rows import audited

HELD = "heldout "
"""Prefix of the ids of held-out rows while they are measured: both files may count their rows from 0."""


@dataclass(frozen=True)
class Group:
    """The distinct rows of one side."""

    name: str
    records: Sequence[Record]
    """With ids that no row of the other side has."""
    ids: Sequence[str]
    """As the data have them."""
    places: Sequence[int]
    """Position of each row in the data, from 0."""


@dataclass(frozen=True)
class Data:
    """Both sides of a run. A row that stands in the data several times is measured once."""

    train: Group
    heldout: Group | None
    copies: NDArray[np.int64]
    """[training rows] rows with the same text, itself included."""
    near: NDArray[np.int64]
    """[training rows] other rows that are nearly the same."""
    unseen_H: NDArray[np.bool_]
    """[held-out rows] True for those that stand nowhere in the training data; the others set no threshold."""
    spec: dict[str, Any]
    """For `run.json`."""

    @classmethod
    def of(cls, train: Sequence[Record], heldout: Sequence[Record] | None, names: dict[str, str]) -> Data:
        """Partition the rows. Raises `RemanenceError` without training rows."""
        if not train:
            raise RemanenceError("There are no training rows: the data is empty.")
        data = audited(train, heldout)
        held = None
        if data.heldout is not None:
            ids = [record.id for record in data.heldout.records]
            renamed = [replace(record, id=f"{HELD}{record.id}") for record in data.heldout.records]
            held = Group("heldout", renamed, ids, data.heldout.places)
        ids = [record.id for record in data.train.records]
        spec: dict[str, Any] = {"train": _spec(train, names["train"]), "heldout": None, "forget": None}
        if heldout is not None:
            spec["heldout"] = _spec(heldout, names["heldout"])
        own = Group("train", data.train.records, ids, data.train.places)
        return cls(own, held, data.copies, data.near, data.keep_H, spec)

    @property
    def groups(self) -> Iterator[Group]:
        """The sides that there are."""
        yield self.train
        if self.heldout is not None:
            yield self.heldout

    @property
    def unseen(self) -> list[Record]:
        """The held-out rows that stand nowhere in the training data."""
        if self.heldout is None:
            return []
        return [record for record, keep in zip(self.heldout.records, self.unseen_H, strict=True) if keep]


def _spec(records: Sequence[Record], name: str) -> dict[str, Any]:
    return {"name": name, "rows": len(records), "fingerprint": data_fingerprint(records)}
