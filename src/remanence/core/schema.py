"""Schemas of the tables of a run.

Every table is a Parquet file; a `reason` is null exactly if there is a measurement. Only `tokens`, `attempts` and
`matches` contain texts. These are training text: protect a run folder like the data.
"""

from __future__ import annotations

import pyarrow as pa

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int32(), pa.float64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


_ROW = {"group": _TEXT, "row": _INT, "id": _TEXT}
"""`group` is train or heldout, `row` the position in that file from 0, `id` the record's id."""

ROWS = _schema(
    **_ROW,
    form=_TEXT,  # text, pair, messages
    num_tokens=_INT,  # tokens after truncation
    num_supervised=_INT,  # tokens with loss that the model predicts
    num_truncated=_INT,  # truncated tokens, not trained on
    num_supervised_truncated=_INT,
    copies=_INT,  # rows of the training data with the same text (including itself; 0 = none, for held-out rows)
    near=_INT,  # near duplicates among the other training rows
    same_as=_INT,  # first row of the same group with the same content, which is measured instead; or null
    contaminated=_BOOL,  # a held-out row that occurs in the training data, exactly or nearly: left out of the floor
    reason=_TEXT,  # why the row cannot be measured
    by=pa.list_(_TEXT),  # its value in each column named with --by, in that order
)
"""One line per row of data. `rows.parquet`"""

TOKENS = _schema(
    **_ROW,
    first=_INT,  # 1 for a decoder-only model, 0 for an encoder-decoder
    ids=pa.list_(_INT),
    supervised=pa.list_(_BOOL),
    source=pa.list_(_INT),  # encoder input, or null
    text=_TEXT,  # text of the supervised part
    recheck=_TEXT,  # null, or the result of repeating a close decision in float32 at batch size 1: agrees, overturned
    reason=_TEXT,
)
"""Plus one list<float> per column of the token table. `tokens/TARGET-GROUP-NNNNN.parquet`, TARGET tuned or base"""

FINDINGS = _schema(
    target=_TEXT,  # tuned or base
    **_ROW,
    measure=_TEXT,
    score=_FLOAT,  # higher = more memorized; null with a reason
    evidence=_TEXT,  # JSON
    reason=_TEXT,
)
"""One line per (target, row, measure). `findings.parquet`"""

ATTEMPTS = _schema(
    target=_TEXT,
    **_ROW,
    attack=_TEXT,  # prefix
    prefix_tokens=_INT,  # tokens with loss in the prompt
    new_tokens=_INT,
    scheme=_TEXT,  # "greedy" or a sampling scheme's name
    seed=_INT,
    why=_TEXT,  # table (the token table predicts extraction), near (nearly), asked (all rows are generated)
    prompt=_TEXT,  # text of the prompt (for an encoder-decoder the source)
    answer=_TEXT,  # generated text
    expected=_TEXT,  # the row's own continuation, new_tokens tokens
    num_answer=_INT,  # tokens in the generated text
    shared_prefix=_INT,  # leading tokens of the generated text equal to `expected`
    exact=_BOOL,  # all of `expected` was generated
    recheck=_TEXT,  # null; or "agrees" / "overturned": result of repeating it in float32 at batch size 1
)
"""One line per generation; its position in the table is the attempt's number. `attempts.parquet`"""

REFUSED = _schema(
    target=_TEXT,
    **_ROW,
    prefix_tokens=_INT,  # tokens with loss in the prompt
    reason=_TEXT,  # why there is no text: the server's message, or why no request could be made
)
"""Requests to a server without a reply; their rows are not counted. `refused.parquet`"""

MATCHES = _schema(
    attempt=_INT,  # line of `attempts`
    whose=_TEXT,  # own (the prompted row), other (another training row), both; corpus = longest in any training row
    kind=_TEXT,  # verbatim, paraphrase, idea
    train_row=_INT,  # matched training row; null for a held-out row's own text
    train_id=_TEXT,
    length=_INT,  # tokens of the longest shared span; null for a detector match, which counts words
    start_answer=_INT,  # first token of the span in the generated text
    start_record=_INT,  # first token of the span in the record
    char_start=_INT,  # span in the generated text, characters
    char_end=_INT,
    in_prompt=_BOOL,  # the same tokens are in the prompt: copied, not memorized
    words=_INT,  # equal words of a verbatim match; words of the passage for another; null for a longest span
    bits=_FLOAT,  # surprisal of the match; null for an idea and for a longest span
    e_value=_FLOAT,  # expected number of such matches by chance over the whole corpus; verbatim only
    p_value=_FLOAT,  # share of held-out pieces that score as high, over 0.8 (verbatim) or 0.2; of decoys for an idea
    record_char_start=_INT,  # span in the text of the training row; null for an idea and for a longest span
    record_char_end=_INT,  # its end, exclusive
    record_text=_TEXT,  # that span of the training row
)
"""Text that an attempt shares with training rows: the longest shared spans in tokens, and the detector's matches.

`matches.parquet`
"""

ORIGINS = _schema(
    attempt=_INT,  # line of `attempts`
    side=_TEXT,  # said (generated text), or ceiling (the row's own continuation, judged the same way)
    label=_TEXT,  # strongest kind above its threshold: verbatim, paraphrase, idea; null = none
    num_words=_INT,  # words of the text; the next six add up to them
    prompt=_INT,  # words in runs of 4 or more words of the prompt
    common=_INT,  # words in runs that held-out texts also contain
    own=_INT,  # words that match the prompted record
    both=_INT,  # words that match it and another record
    other=_INT,  # words that match another record
    new=_INT,  # all other words: new, or below the threshold
    bits=_FLOAT,  # bits of the best verbatim chain
    most_bits=_FLOAT,  # upper bound of `bits`: as if all unexplained words were one run of a training row
    p_value=_FLOAT,  # of `bits` against held-out texts of the same length; null without held-out texts
    q_value=_FLOAT,  # Benjamini-Hochberg over the attempts of the same model and group
    paraphrase_bits=_FLOAT,  # bits of the best aligned passage
    paraphrase_p=_FLOAT,  # of `paraphrase_bits` against held-out texts of the same length
    idea_p=_FLOAT,  # rank of the prompted record among decoys; null if there is a stronger match
    reason=_TEXT,  # why it is not measurable; never counted as zero
)
"""Attribution of the words of each attempt. `origins.parquet`"""

CALIBRATION = _schema(
    kind=_TEXT,  # verbatim, paraphrase
    alpha=_FLOAT,  # requested false-positive rate
    num_words=_INT,  # length of the held-out pieces
    num_null=_INT,  # number of pieces that set the threshold
    bits=_FLOAT,  # the threshold; null if there are too few pieces
    reason=_TEXT,
    few=_BOOL,  # fewer than ten pieces are above the threshold
    realised_hits=_INT,  # whole held-out texts flagged by thresholds of the other half (all lengths together)
    realised_n=_INT,  # whole held-out texts tested
    realised_low=_FLOAT,
    realised_high=_FLOAT,
)
"""Thresholds from held-out texts, and their measured false-positive rates. `calibration.parquet`"""

RATES = _schema(
    metric=_TEXT,  # greedy; np; match = flagged by the detector
    by=_TEXT,  # all, prefix, budget, length, copies, near, n, kind (of a match); column:NAME = a column of the data
    value=_TEXT,  # the value of `by`; for kind: verbatim, paraphrase, idea, each with all stronger kinds
    order=_INT,  # for sorting
    detail=_TEXT,  # scheme and p for `np`; alpha (and kind, by column) for `match`; budget=N, or empty = new_tokens
    **{
        f"{who}{what}": kind
        for who in ("", "floor_", "base_", "base_floor_", "ceiling_")
        for what, kind in (("hits", _INT), ("n", _INT), ("rate", _FLOAT), ("low", _FLOAT), ("high", _FLOAT))
    },
    excess=_FLOAT,  # rate minus floor
    excess_low=_FLOAT,
    excess_high=_FLOAT,
    over_base=_FLOAT,  # rate minus the base model's, on the same rows
    over_base_low=_FLOAT,
    over_base_high=_FLOAT,
    normalised=_FLOAT,  # (rate - floor) / (ceiling - floor)
)
"""Every rate with its count, interval (95 %), floor, base and ceiling; null for a missing baseline.

A budget is the number of tokens that must be extracted; if no row has that many, n is 0 and the rate null.

`floor_`: held-out rows on the tuned model; `base_`: the same rows on the base model; `base_floor_`: held-out rows on
the base model; `ceiling_`: the rows' own continuations, judged the same way. `rates.parquet`
"""

MEMBERSHIP = _schema(
    target=_TEXT,  # tuned, base, or blind (a classifier without a model)
    measure=_TEXT,
    num_members=_INT,
    num_nonmembers=_INT,
    auc=_FLOAT,
    auc_low=_FLOAT,
    auc_high=_FLOAT,
    fpr=_FLOAT,  # requested false-positive rate
    fpr_realised=_FLOAT,
    tpr=_FLOAT,
    tpr_low=_FLOAT,
    tpr_high=_FLOAT,
    reason=_TEXT,  # why there is no TPR at this FPR
)
"""How well each likelihood measure separates training rows from held-out rows. `membership.parquet`"""

RANKING = _schema(
    rank=_INT,
    row=_INT,
    id=_TEXT,
    comes_back=_BOOL,  # extracted by greedy decoding at a prefix length of the grid
    shortest_prefix=_INT,  # smallest such prefix length; null if there is none
    longest_run=_INT,  # largest number of consecutive tokens that greedy decoding generates exactly
    strength=_FLOAT,  # extraction strength, 0 to 1
    log_p=_FLOAT,  # best log-probability of the next new_tokens over the grid, first scheme
    queries=_FLOAT,  # samples that contain it with probability 1/2, first scheme; inf if never
    p_value=_FLOAT,  # against held-out rows (conformal)
    q_value=_FLOAT,  # Benjamini-Hochberg over rows
    copies=_INT,
    near=_INT,
    num_supervised=_INT,
    attempt=_INT,  # line of `attempts` with the best generation of the tuned model; null if there is none
    base_attempt=_INT,  # line of `attempts` of the base model with the same prompt
)
"""The training rows, worst first. `ranking.parquet`"""
