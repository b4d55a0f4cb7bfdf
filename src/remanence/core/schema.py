"""What the tables of a run hold, column by column.

Every table is Parquet; a `reason` is null exactly where something was measured. Texts stand in `tokens`, `attempts`
and `matches` only, and they are training text: keep a run folder as safe as the data.
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
    num_tokens=_INT,  # after truncation, all of them
    num_supervised=_INT,  # tokens that carry loss and are predicted
    num_truncated=_INT,  # cut off, never seen in training
    num_supervised_truncated=_INT,
    copies=_INT,  # rows of the training data with the same text (itself included; 0 = none, for held-out rows)
    near=_INT,  # other training rows that are nearly the same
    same_as=_INT,  # first row of the same group with the very same content, which is measured in its stead; or null
    contaminated=_BOOL,  # a held-out row that stands in the training data, exactly or nearly: kept out of the floor
    reason=_TEXT,  # why the row cannot be measured at all
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
    recheck=_TEXT,  # null, or what float32 at batch size 1 said of a verdict that hung on rounding: agrees, overturned
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
    prefix_tokens=_INT,  # tokens that carry loss given away in the prompt
    new_tokens=_INT,
    scheme=_TEXT,  # "greedy" or a sampling scheme's name
    seed=_INT,
    why=_TEXT,  # table (the table says it comes back), near (it nearly does), asked (the user wants all)
    prompt=_TEXT,  # text of what the model was given (decoder side; for an encoder-decoder the source)
    answer=_TEXT,  # what it said
    expected=_TEXT,  # what the row says there, new_tokens tokens of it
    num_answer=_INT,  # tokens in the answer
    shared_prefix=_INT,  # leading tokens of the answer equal to `expected`
    exact=_BOOL,  # the whole of `expected` came back
    recheck=_TEXT,  # null; or "agrees" / "overturned": verdict repeated in fp32 at batch size 1
)
"""One line per question put to a model; `row` of the table is the attempt's number. `attempts.parquet`"""

REFUSED = _schema(
    target=_TEXT,
    **_ROW,
    prefix_tokens=_INT,  # tokens that carry loss given away in the prompt
    reason=_TEXT,  # why there is no answer: what the server said, or why it could not be asked
)
"""Questions to a server that got no answer, and so are in no denominator. `refused.parquet`"""

MATCHES = _schema(
    attempt=_INT,  # line of `attempts`
    whose=_TEXT,  # own (the row asked about), other (another training row), both; corpus = longest in any training row
    kind=_TEXT,  # verbatim, paraphrase, idea
    train_row=_INT,  # row of the training data it was found in; null for a held-out row's own text
    train_id=_TEXT,
    length=_INT,  # tokens of the longest shared span; null for what the detector found, which counts words
    start_answer=_INT,  # its first token in the answer
    start_record=_INT,  # its first token in the record
    char_start=_INT,  # span in the text of the answer, characters
    char_end=_INT,
    in_prompt=_BOOL,  # the same tokens already stood in the prompt: copying, not memory
    words=_INT,  # equal words of a verbatim match; words of the passage for another; null for a longest span
    bits=_FLOAT,  # how surprising the match is; null for an idea and for a longest span
    e_value=_FLOAT,  # matches as surprising that chance brings over the whole corpus; verbatim matches only
    p_value=_FLOAT,  # share of held-out pieces that reach as much, over 0.8 (verbatim) or 0.2; of decoys, for an idea
    record_char_start=_INT,  # span in the text of the training row; null for an idea and for a longest span
    record_char_end=_INT,  # its end, exclusive
    record_text=_TEXT,  # that span of the training row
)
"""Where an attempt coincides with training text: the longest shared spans in tokens, and what the detector flagged.

`matches.parquet`
"""

ORIGINS = _schema(
    attempt=_INT,  # line of `attempts`
    side=_TEXT,  # said (by the model), or ceiling (the row's own continuation, through the same judge)
    label=_TEXT,  # strongest kind that passes the threshold: verbatim, paraphrase, idea; null = none
    num_words=_INT,  # words of the text; the next six add up to them
    prompt=_INT,  # words that stand in runs of 4 or more words of the prompt
    common=_INT,  # words of runs that held-out texts use too
    own=_INT,  # words flagged as the own record's
    both=_INT,  # as the own record's and another one's
    other=_INT,  # as another record's
    new=_INT,  # all others: new, or not to be told from chance
    bits=_FLOAT,  # of the best verbatim chain
    most_bits=_FLOAT,  # if all words that nothing explains were one run of a training row
    p_value=_FLOAT,  # of `bits` against held-out texts of that length; null without held-out texts
    q_value=_FLOAT,  # Benjamini-Hochberg over the attempts of the same model and group
    paraphrase_bits=_FLOAT,  # of the best aligned passage
    paraphrase_p=_FLOAT,  # of those against held-out texts of that length
    idea_p=_FLOAT,  # rank of the own record among decoys; null where something stronger was found
    reason=_TEXT,  # why it is not measurable; never a zero
)
"""Whose words each attempt is made of. `origins.parquet`"""

CALIBRATION = _schema(
    kind=_TEXT,  # verbatim, paraphrase
    alpha=_FLOAT,  # false-alarm rate asked for
    num_words=_INT,  # length of the held-out pieces
    num_null=_INT,  # pieces that set the threshold
    bits=_FLOAT,  # a match must have more; null where too few pieces set one
    reason=_TEXT,
    few=_BOOL,  # fewer than ten pieces lie above it
    realised_hits=_INT,  # whole held-out texts flagged by the other half's thresholds (all lengths together)
    realised_n=_INT,  # whole held-out texts asked
    realised_low=_FLOAT,
    realised_high=_FLOAT,
)
"""Thresholds from held-out texts, and how often held-out texts are flagged by them. `calibration.parquet`"""

RATES = _schema(
    metric=_TEXT,  # greedy; np; match = flagged by the detector
    by=_TEXT,  # all, prefix, budget, length, copies, near, n, kind (of a match); column:NAME = a column of the data
    value=_TEXT,  # the value of `by`; of kind: verbatim, paraphrase, idea, each with all stronger ones
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
"""Every rate with its count, interval (95 %), floor, base and ceiling; null where a baseline was not given.

A budget is how many tokens must come back; where no row has so many, n is 0 and the rate null: not measurable.

`floor_`: held-out rows on the tuned model; `base_`: the same rows on the base model; `base_floor_`: held-out rows on
the base model; `ceiling_`: the rows' own continuations put through the same judge. `rates.parquet`
"""

MEMBERSHIP = _schema(
    target=_TEXT,  # tuned, base, or blind (never sees a model)
    measure=_TEXT,
    num_members=_INT,
    num_nonmembers=_INT,
    auc=_FLOAT,
    auc_low=_FLOAT,
    auc_high=_FLOAT,
    fpr=_FLOAT,  # the false-positive rate asked for
    fpr_realised=_FLOAT,
    tpr=_FLOAT,
    tpr_low=_FLOAT,
    tpr_high=_FLOAT,
    reason=_TEXT,  # why no TPR is claimed at this FPR
)
"""How well each likelihood measure tells training rows from held-out ones. `membership.parquet`"""

RANKING = _schema(
    rank=_INT,
    row=_INT,
    id=_TEXT,
    comes_back=_BOOL,  # greedy, at some prefix length of the grid
    shortest_prefix=_INT,  # smallest prefix of the grid at which it does; null if at none
    longest_run=_INT,  # most tokens that greedy decoding gets right in a row
    strength=_FLOAT,  # extraction strength, 0 to 1
    log_p=_FLOAT,  # best log-probability of the next new_tokens over the grid, first scheme
    queries=_FLOAT,  # samples needed to see it with probability 1/2, first scheme; inf if never
    p_value=_FLOAT,  # against held-out rows (conformal)
    q_value=_FLOAT,  # Benjamini-Hochberg over rows
    copies=_INT,
    near=_INT,
    num_supervised=_INT,
    attempt=_INT,  # line of `attempts` that shows it best, tuned model; null if none was made
    base_attempt=_INT,  # the base model's answer to the same prompt
)
"""The training rows, worst first. `ranking.parquet`"""
