"""Records of m fields, and tasks that need s of them; inputs, lengths and the number of targets are always the same.

A row of token ids is: start, the record's key, its m fields, "answer:", m places, end. A task repeats the fields it
needs, each at its own place, and writes a filler at the places of the others. So tasks differ only in how much of the
record they need, and no task asks for the key. Values are uniform, so they cannot be guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError

Ids: TypeAlias = NDArray[np.int64]
Side: TypeAlias = Literal["private", "public"]

START, ANSWER, FILLER, END = range(4)
SPECIAL = 4
"""Ids below this one are the special tokens above; symbol k has id SPECIAL + k."""
KEY = 2
"""Number of symbols in a key."""


@dataclass(frozen=True)
class FieldRecords:
    """The family. A record is [KEY + fields] symbols; keys whose two symbols have an odd sum are private."""

    fields: int = 8
    symbols: int = 64
    """Number of different values of a field, and of different symbols in a key."""

    @property
    def vocab(self) -> int:
        return SPECIAL + self.symbols

    @property
    def prompt(self) -> int:
        """Number of tokens before the answer, including the token "answer:"."""
        return 1 + KEY + self.fields + 1

    @property
    def length(self) -> int:
        """Number of tokens of a row; the same for every task."""
        return self.prompt + self.fields + 1

    @property
    def inputs_at(self) -> slice:
        """Positions of the fields in a row."""
        return slice(1 + KEY, 1 + KEY + self.fields)

    @property
    def answers_at(self) -> slice:
        """Positions of the answer in a row, one for each field."""
        return slice(self.prompt, self.prompt + self.fields)

    def draw(self, n: int, rng: np.random.Generator, side: Side = "private") -> Ids:
        """[n, KEY + fields] symbols of `n` records, fields uniform. Private keys are all different, and none is public.

        Raises `RemanenceError` if there are not so many private keys.
        """
        if side == "private":
            odd = np.flatnonzero((np.arange(self.symbols)[:, None] + np.arange(self.symbols)) % 2)
            if n > odd.size:
                raise RemanenceError(f"{self.symbols} symbols make {odd.size} private keys, not {n}; ask for fewer.")
            keys = np.stack(np.divmod(rng.permutation(odd)[:n], self.symbols), axis=1)
        else:
            first = rng.integers(self.symbols, size=n)
            keys = np.stack([first, (first % 2 + 2 * rng.integers(self.symbols // 2, size=n)) % self.symbols], axis=1)
        values = rng.integers(self.symbols, size=(n, self.fields))
        return np.concatenate([keys, values], axis=1).astype(np.int64)

    def rows(self, records: Ids, needed: Sequence[int]) -> Ids:
        """[n, length] token ids of the records under the task that needs these fields."""
        ids = np.full((len(records), self.length), START, dtype=np.int64)
        ids[:, 1 : self.prompt - 1] = records + SPECIAL
        ids[:, self.prompt - 1] = ANSWER
        is_needed = np.isin(np.arange(self.fields), list(needed))
        ids[:, self.answers_at] = np.where(is_needed, ids[:, self.inputs_at], FILLER)
        ids[:, -1] = END
        return ids

    def fresh(self, rng: np.random.Generator, batch: int, steps: int, needed: Sequence[int]) -> Iterator[Ids]:
        """Batches of public records, new ones at every step."""
        for _ in range(steps):
            yield self.rows(self.draw(batch, rng, "public"), needed)

    def needed(self, s: int) -> list[int]:
        """The `s` fields that a task needs: every (fields/s)-th, from the first.

        Nested for powers of two, and the odd fields are needed by no task but the one that needs them all.
        """
        if not 0 <= s <= self.fields:
            raise RemanenceError(f"A record has {self.fields} fields; a task cannot need {s} of them.")
        return [k * self.fields // s for k in range(s)]
