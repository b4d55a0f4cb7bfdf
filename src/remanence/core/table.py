"""The token table: for every token of a row, the numbers that any likelihood measure needs.

Column t speaks of token t of the row: how the model predicted `ids[t]` from what stands before it. A decoder-only
model cannot predict the first token of a row, so `first` is 1 there and 0 for an encoder-decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import NotMeasured

FloatsT: TypeAlias = NDArray[np.float32]
IntsT: TypeAlias = NDArray[np.int32]
BoolsT: TypeAlias = NDArray[np.bool_]

COLUMNS = {
    "logprob": "log p(token), nats",
    "rank": "how many tokens the model prefers to this one; 0 = greedy decoding says it (ties: lower id first)",
    "gap": "logit of this token minus the best logit of any other; > 0 = greedy decoding says it, near 0 = barely",
    "mean": "mean of log p over the vocabulary under p, nats (minus the entropy)",
    "std": "standard deviation of log p over the vocabulary under p, nats",
}
"""The plain columns. A sampling scheme adds one more, `SamplingScheme.column`: log-probability under the scheme."""


@dataclass(frozen=True)
class Rendered:
    """A row as in training: token ids, which of them have loss, and what was truncated."""

    ids: IntsT
    """[T] token ids of the full row after truncation; for an encoder-decoder, of the target side."""
    supervised: BoolsT
    """[T] True if the token has loss."""
    source: IntsT | None = None
    """[S] encoder input, for an encoder-decoder; None for a decoder-only model."""
    num_truncated: int = 0
    """Tokens of the row beyond the context or `max_length`, not trained on."""
    num_supervised_truncated: int = 0
    """Number of truncated tokens that would have had loss."""

    @property
    def first(self) -> int:
        """Index of the first token that the model predicts: 1 for decoder-only, 0 for encoder-decoder."""
        return 1 if self.source is None else 0

    @property
    def scored(self) -> BoolsT:
        """[T] True if a token has loss and is predicted."""
        mask = self.supervised.copy()
        mask[: self.first] = False
        return mask

    @property
    def start(self) -> int:
        """Index of the first token that is scored; the tokens before it are always in the prompt.

        Raises `NotMeasured` when no token is.
        """
        positions = np.flatnonzero(self.scored)
        if positions.size == 0:
            if self.ids.size == 0 and not self.num_truncated:
                raise NotMeasured("the row is empty")
            if self.num_supervised_truncated:
                raise NotMeasured("truncation cut every token that carries loss")
            if self.supervised.any():
                raise NotMeasured("the row has a single token, and nothing stands before it to predict it from")
            raise NotMeasured("no token carries loss: the part to be learned is empty")
        return int(positions[0])


@dataclass(frozen=True)
class TokenRow:
    """The token table of one record under one target."""

    rendered: Rendered
    columns: Mapping[str, FloatsT | IntsT] = field(default_factory=dict[str, FloatsT | IntsT])
    """[T] each, aligned to `rendered.ids`; positions before `rendered.first` hold NaN, or -1 for ranks."""
    text: str = ""
    """The text of the supervised part, for measures that compress it."""

    def scored(self, column: str) -> NDArray[np.float64]:
        """[N] the values of a column at tokens with loss, in float64. Raises `NotMeasured` if there are none."""
        _ = self.rendered.start
        values = self.columns[column][self.rendered.scored].astype(np.float64)
        if np.isnan(values).any():
            raise NotMeasured(f"the model returned NaN for {int(np.isnan(values).sum())} of {values.size} tokens")
        return values

    def hits(self) -> BoolsT:
        """[T] True if greedy decoding generates the row's own token and the token has loss."""
        return (self.columns["rank"] == 0) & self.rendered.scored
