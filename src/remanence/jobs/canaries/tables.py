"""What the tables of an audit of canaries hold, column by column. Their texts are made up, but tell what is planted."""

from __future__ import annotations

import pyarrow as pa

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.float64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


EXPOSURES = _schema(
    target=_TEXT,  # tuned or base
    measure=_TEXT,  # loss, or reference: tuned minus base
    id=_TEXT,
    kind=_TEXT,  # canary or twin
    band=_TEXT,
    copies=_INT,  # how often it stood in the training data; 0 for a twin
    score=_FLOAT,  # nats per learned token; higher = likelier
    candidates=_INT,  # the row itself and the twins of its band
    rank=_FLOAT,  # among them, 1 = likeliest; ties share the middle
    exposure=_FLOAT,  # log2 candidates - log2 rank, bits; exact
    most=_FLOAT,  # log2 candidates
    fitted=_FLOAT,  # -log2 P under a skew-normal fitted to the twins, at most the row's own bits: an extrapolation
    counted=_FLOAT,  # exposure among all secrets of that many digits, each put into the row; null where not counted
    counted_most=_FLOAT,
    secret_tokens=_INT,
    secret_back=_BOOL,  # shown what stands before it, greedy decoding says the secret
    reason=_TEXT,  # why something could not be measured
)
"""One line per (target, measure, canary or twin); a twin is ranked among the other twins. `exposures.parquet`"""

SUMMARY = _schema(
    target=_TEXT,
    measure=_TEXT,
    band=_TEXT,  # all, or a band
    copies=_INT,  # 0 = twins: what was never planted
    n=_INT,  # that could be measured
    exposure=_FLOAT,  # mean, bits, by rank
    exposure_low=_FLOAT,  # bootstrap over canaries, 95 %
    exposure_high=_FLOAT,
    chance=_FLOAT,  # mean exposure when every rank is as likely
    most=_FLOAT,  # highest exposure that ranks can tell
    first=_INT,  # canaries likelier than every twin
    fitted=_FLOAT,  # median of the fitted exposures
    counted=_FLOAT,  # mean of the counted exposures; null where none was
    counted_low=_FLOAT,
    counted_high=_FLOAT,
    counted_n=_INT,
    auc=_FLOAT,  # chance that a canary is likelier than a twin of its band
    auc_low=_FLOAT,
    auc_high=_FLOAT,
    back_hits=_INT,  # secrets that come back greedily; the same for every measure
    back_n=_INT,
    back_rate=_FLOAT,
    back_low=_FLOAT,
    back_high=_FLOAT,
)
"""By repetition and band, with counts and intervals. `summary.parquet`"""

COUNTED = _schema(
    id=_TEXT,
    exposure=_FLOAT,  # bits, among all secrets of as many digits
    candidates=_INT,
    reason=_TEXT,
)
"""Secrets that were counted through. `counted/ROLE-00000.parquet`"""
