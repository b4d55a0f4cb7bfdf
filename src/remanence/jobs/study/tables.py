"""What a study's tables hold, column by column. They hold training text: keep the folder as safe as the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from remanence.core.run import Run
from remanence.jobs.study.exact import Cell, Values

_TEXT, _INT, _FLOAT = pa.string(), pa.int32(), pa.float64()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


PROBES = _schema(
    group=_TEXT,  # train or heldout
    row=_INT,  # place among the measured rows of the group
    id=_TEXT,
    copies=_INT,  # how often it is trained on
    boundary=_INT,  # index of the first token of the output
    num_tokens=_INT,
    num_truncated=_INT,
    reason=_TEXT,  # why it is not measured
)
"""The measured rows of an arm. `arms/*/probes.parquet`"""

ATTEMPTS = _schema(
    group=_TEXT,
    row=_INT,
    id=_TEXT,
    side=_TEXT,  # input: go on with its first tokens; output: answer the whole input
    prompt=_TEXT,  # the exact text that the model was given
    prompt_ids=pa.list_(_INT),
    source_ids=pa.list_(_INT),  # for an encoder-decoder
    answer_ids=pa.list_(_INT),
    expected_ids=pa.list_(_INT),
    answer=_TEXT,
    expected=_TEXT,  # the row's own continuation, at most as long as the answer may be
    answer_at=pa.list_(_TEXT),  # the answer cut to each budget of the study, in order; null where `expected` is shorter
    expected_at=pa.list_(_TEXT),  # `expected` cut likewise
)
"""What was asked and said. `arms/*/attempts.parquet`, `bases/*/attempts.parquet`"""

OUTCOMES = _schema(
    who=_TEXT,  # tuned, base, ceiling
    group=_TEXT,
    metric=_TEXT,
    side=_TEXT,
    prefix=_TEXT,
    budget=_INT,
    detail=_TEXT,
    values=pa.list_(pa.float32()),  # one per measured row; NaN = not measurable
)
"""Row by row, what came back. `arms/*/outcomes.parquet`, `bases/*/outcomes.parquet`"""

MAPS = _schema(
    group=_TEXT,
    row=_INT,
    id=_TEXT,
    kind=_TEXT,  # self; cross, for an encoder-decoder
    says=pa.list_(_TEXT),  # what each position is about to say
    sees=pa.list_(_TEXT),  # the tokens looked at
    learned=pa.list_(pa.bool_()),  # whether the position says a token of the output
    weights=pa.list_(pa.float32()),  # position by position, mean over layers and heads; NaN where it may not look
)
"""Attention maps of two rows: the training row with most copies, the first held-out one. `arms/*/maps.parquet`"""

CURVE = _schema(
    epoch=_INT,
    group=_TEXT,
    loss=_FLOAT,  # nats per token that carries loss
    hits=_INT,  # rows of which `budget` tokens come back at some split
    n=_INT,
    budget=_INT,
)
"""After every epoch. `arms/*/curve.parquet`"""


def write_outcomes(run: Run, name: str, cells: Iterable[tuple[str, str, Cell, Values]]) -> None:
    """Lines of (who, group, cell, values)."""
    lines = [
        {
            "who": who,
            "group": group,
            "metric": cell.metric,
            "side": cell.side,
            "prefix": cell.prefix,
            "budget": cell.budget,
            "detail": cell.detail,
            "values": values.tolist(),
        }
        for who, group, cell, values in cells
    ]
    run.write_table(name, pa.Table.from_pylist(lines, schema=OUTCOMES))


def read_outcomes(run: Run, name: str) -> Iterator[tuple[str, str, Cell, Values]]:
    """As written."""
    for line in run.lines(name):
        cell = Cell(line["metric"], line["side"], line["prefix"], line["budget"], line["detail"])
        yield line["who"], line["group"], cell, np.array(line["values"], np.float32)


def write_lines(run: Run, name: str, lines: list[dict[str, Any]], schema: pa.Schema) -> None:
    """A table from dicts."""
    run.write_table(name, pa.Table.from_pylist(lines, schema=schema))
