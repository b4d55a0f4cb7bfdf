"""What the tables of a forgetting hold, column by column. Texts stand in `said` only, and they may be training text."""

from __future__ import annotations

import pyarrow as pa

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.float64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


POINTS = _schema(
    method=_TEXT,  # a name of the catalogue, or before, retrained
    setting=_TEXT,  # learning_rate=0.0001
    strength=_FLOAT,  # how far along its path, in `unit`
    unit=_TEXT,  # steps, lambda, ...
    forget_hits=_INT,  # rows to forget that are extracted greedily
    forget_n=_INT,
    forget_rate=_FLOAT,
    forget_low=_FLOAT,
    forget_high=_FLOAT,
    either_hits=_INT,  # rows to forget that are extracted greedily or within so many samples: what the guard uses
    floor_hits=_INT,  # held-out rows that are extracted greedily
    floor_n=_INT,
    excess=_FLOAT,  # rate minus floor
    excess_low=_FLOAT,
    excess_high=_FLOAT,
    removed=_FLOAT,  # share of the excess before that is gone; null when there was none
    loss=_FLOAT,  # held-out rows that guide, nats per token
    loss_rise=_FLOAT,  # relative to before: 0.02 = 2 %
    loss_rise_low=_FLOAT,
    loss_rise_high=_FLOAT,
    forget_loss=_FLOAT,  # rows to forget, nats per token
    auc=_FLOAT,  # membership of the rows to forget against held-out rows, by loss
    auc_low=_FLOAT,
    auc_high=_FLOAT,
    untouched_hits=_INT,  # other training rows that are extracted; null where it was not measured (states not chosen)
    untouched_n=_INT,
    retain_loss=_FLOAT,  # of the same rows
    chosen=_BOOL,  # the state that is kept of this path
    within=_BOOL,  # the loss has risen by no more than the limit
    on_front=_BOOL,  # no other state removes more at no higher loss
    why=_TEXT,  # why the path ended here; empty before its end
)
"""One line per state that was looked at. `points.parquet`, and path by path in `paths/`"""

SCORES = _schema(
    model=_TEXT,  # before, retrained, or a method's name
    side=_TEXT,  # forget, untouched, heldout
    metric=_TEXT,
    value=_FLOAT,  # null with a note
    hits=_INT,
    n=_INT,
    low=_FLOAT,
    high=_FLOAT,
    note=_TEXT,  # why nothing could be measured, or what stands in for what
)
"""All measures of the model before, of each method's best state, and of the retrained model. `scores.parquet`"""

RELEARN = _schema(
    model=_TEXT,
    rows=_TEXT,  # what it was trained on: forget (one half of the forgotten rows), or benign (rows that were kept)
    step=_INT,
    rate=_FLOAT,  # share of the other half that is extracted
)
"""How soon forgotten rows are back. `relearn.parquet`"""

RELEARNED = _schema(
    model=_TEXT,
    rows=_TEXT,
    steps=_INT,  # until rows are extracted as before; null = not within max_steps
    max_steps=_INT,
    goal=_FLOAT,  # the rate that counts as back
)
"""The same in one line. `relearned.parquet`"""

FORGET_ROWS = _schema(id=_TEXT, why=_TEXT, copies=_INT)
"""The rows to forget. `forget_rows.parquet`"""

ROW_STATES = _schema(
    model=_TEXT,
    side=_TEXT,
    id=_TEXT,
    comes_back=_BOOL,
    longest_run=_INT,
    loss=_FLOAT,
    min_k=_FLOAT,  # Min-K at 40 %, as privleak takes it
    truth_ratio=_FLOAT,
)
"""Row by row, before and after. `row_states.parquet`"""

SAID = _schema(
    model=_TEXT, side=_TEXT, id=_TEXT, prefix=_INT, exact=_BOOL, verbatim=_BOOL, paraphrase=_BOOL, rouge=_FLOAT,
    prompt=_TEXT, said=_TEXT, truth=_TEXT,
)  # fmt: skip
"""What the models really said. `said.parquet`"""
