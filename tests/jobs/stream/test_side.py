"""The measures over a whole block at once agree with their own code, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from remanence.core.table import Rendered, TokenRow
from remanence.jobs.audit import summarize as fast
from remanence.jobs.audit.measures import table_measures
from remanence.jobs.audit.settings import AuditSettings

SETTINGS = AuditSettings(prefixes=(0, 2, 5), new_tokens=3, schemes=("T=1", "T=1,k=4"))


def token_row(rng: np.random.Generator, kind: str) -> TokenRow:
    """A row of dice; `kind` says what is odd about it."""
    size = {"one": 1, "short": 3}.get(kind, int(rng.integers(4, 24)))
    supervised = rng.random(size) < (0.0 if kind == "unlearned" else 0.85)
    if kind == "plain":
        supervised[:] = True
    source = np.array([1], np.int32) if kind == "seq2seq" else None
    rendered = Rendered(rng.integers(0, 99, size).astype(np.int32), supervised, source)
    logprob = -rng.exponential(2.0, size).astype(np.float32)
    rank = np.where(rng.random(size) < 0.8, 0, 3).astype(np.int32)
    columns: dict[str, Any] = {"logprob": logprob, "rank": rank, "gap": np.where(rank == 0, 1.0, -1.0)}
    columns |= {"mean": logprob - 1, "std": np.abs(logprob) + 0.5}
    columns |= {"logprob[T=1]": logprob.copy(), "logprob[T=1,k=4]": np.where(logprob < -5, -np.inf, logprob)}
    columns = {name: c.astype(np.int32 if name == "rank" else np.float32) for name, c in columns.items()}
    for name, column in columns.items():
        column[~rendered.scored] = -1 if name == "rank" else np.nan
    if kind == "nan":
        columns["gap"][-1] = columns["logprob"][-1] = np.nan
    if kind == "impossible":
        columns["logprob"][:] = -np.inf
        columns["logprob[T=1]"][:] = -np.inf
    return TokenRow(rendered, columns, "" if kind == "wordless" else " ".join(map(str, rendered.ids)))


KINDS = ("plain", "masked", "one", "short", "unlearned", "seq2seq", "nan", "impossible", "wordless")


def block(seed: int) -> tuple[list[TokenRow | str], list[TokenRow | str]]:
    """Sixty rows of all kinds, and the same rows under another model; some were not measured by either."""
    rng = np.random.default_rng(seed)
    kinds = [*KINDS, *rng.choice(KINDS, 60 - len(KINDS)).tolist()]
    rows: list[TokenRow | str] = [token_row(rng, kind) for kind in kinds]
    base: list[TokenRow | str] = []
    for row in rows:
        assert isinstance(row, TokenRow)
        shifted = {n: c - np.float32(0.25) if n.startswith("logprob") else c for n, c in row.columns.items()}
        base.append(TokenRow(row.rendered, shifted, row.text))
    rows[11], base[12] = "the row is empty", "the base model said nothing"
    return rows, base


@pytest.mark.parametrize("sure", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_arrays_say_what_the_measures_say_of_each_row(seed: int, sure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, base = block(seed)
    measures = table_measures(SETTINGS, with_base=not sure)
    by_arrays = fast.side(rows, None if sure else base, measures, SETTINGS, sure=sure)
    monkeypatch.setattr(fast, "_fast", lambda *_: set())
    one_by_one = fast.side(rows, None if sure else base, measures, SETTINGS, sure=sure)
    assert by_arrays.keys() == one_by_one.keys()
    for name, column in one_by_one.items():
        assert by_arrays[name] == column, name


def test_most_rows_of_a_block_take_the_fast_way() -> None:
    rng = np.random.default_rng(0)
    rows = [token_row(rng, "plain") for _ in range(40)]
    measures = table_measures(SETTINGS, with_base=False)
    values = {m.name: [None] * 40 for m in measures if m.name != "discoverable"} | {n: [None] * 40 for n in fast.GREEDY}
    done = fast._fast(dict(enumerate(rows)), None, measures, SETTINGS, values, False)
    assert done == set(range(40))
