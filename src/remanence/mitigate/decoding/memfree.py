"""MemFree: never say n tokens in a row that stand in the protected rows.

Paper: Ippolito et al. 2023, "Preventing Generation of Verbatim Memorization in Language Models Gives a False Sense of
Privacy", arXiv 2210.17546

The guarantee is about token n-grams and nothing more: the same words cut into other tokens, or one word exchanged,
pass. N-grams that begin in the prompt and end in the answer are stopped; those wholly inside the prompt are not.

Shapes: B rows (beams are rows too, each with its own history), T tokens so far, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LogitsProcessor, LogitsProcessorList

from remanence.core.errors import NotMeasured, RemanenceError
from remanence.core.record import Record
from remanence.core.run import fingerprint
from remanence.core.table import IntsT
from remanence.core.target import Opens
from remanence.core.verbs import Mitigation
from remanence.mitigate.decoding.canonical import canonical_ids, new_ngrams
from remanence.mitigate.decoding.ngram_bloom import NGramBloom

LOOK_BACK = 4
"""The last LOOK_BACK x n tokens of the text so far are encoded again at every step."""


def ban_protected(history_BT: Tensor, scores_BV: Tensor, bloom: NGramBloom) -> Tensor:
    """[B, V] scores with -inf wherever the last n-1 tokens and the candidate are a protected n-gram.

    Exact for every decoding rule. For sampling, masking before the draw gives the distribution of drawing again until
    the draw is allowed; for arg max, the next best that is allowed.
    """
    candidates = np.arange(scores_BV.shape[1])
    past = history_BT[:, max(0, history_BT.shape[1] - bloom.n + 1) :].cpu().numpy()
    blocked = torch.from_numpy(np.stack([bloom.blocked(row, candidates) for row in past]))
    return scores_BV.masked_fill(blocked.to(scores_BV.device), -torch.inf)


class MemFreeLogitsProcessor(LogitsProcessor):
    """The filter for Hugging Face `generate(logits_processor=[...])`: greedy, sampling or beams, in batches.

    Where every token is banned it says end-of-text, even if that completes an n-gram: stopping gives nothing away.
    """

    def __init__(self, bloom: NGramBloom, eos_token_id: int | Sequence[int] | None = None) -> None:
        self.bloom = bloom
        self.ends = [eos_token_id] if isinstance(eos_token_id, int) else sorted(eos_token_id or ())

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # pyright: ignore
        """Scores [B, V] with what is protected taken out; `input_ids` [B, T] holds prompt and answer so far."""
        allowed = self.allowed(input_ids, scores)
        stuck = torch.isneginf(allowed).all(dim=1)
        if bool(stuck.any()):
            if not self.ends:
                raise RemanenceError(
                    "MemFree has banned every token and knows no end-of-text token to say instead; "
                    "give the model one (eos_token_id), or protect longer n-grams."
                )
            allowed[stuck, self.ends[0]] = 0.0
        return allowed

    def allowed(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The same without the way out when nothing is left to say."""
        return ban_protected(input_ids, scores, self.bloom)


class CanonicalLogitsProcessor(MemFreeLogitsProcessor):
    """Bans what MemFree bans, and every token that completes a new protected canonical n-gram.

    Encoding the text again for each of V tokens would be too slow, so only the `candidates` most likely tokens are
    tried and all others are banned: greedy decoding is exact as long as one of them is allowed, and sampling becomes
    top-k sampling.
    """

    def __init__(
        self,
        bloom: NGramBloom,
        canon: NGramBloom,
        tokenizer: Any,
        eos_token_id: int | Sequence[int] | None = None,
        candidates: int = 50,
    ) -> None:
        super().__init__(bloom, eos_token_id)
        self.canon, self.tokenizer, self.candidates = canon, tokenizer, candidates

    def allowed(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [B, V] with -inf at tokens that are not allowed."""
        scores = super().allowed(input_ids, scores)
        kept = torch.full_like(scores, -torch.inf)
        best = scores.topk(min(self.candidates, scores.shape[1]), dim=1)
        for row, tokens in enumerate(best.indices.tolist()):
            past = input_ids[row, -LOOK_BACK * self.canon.n :].tolist()
            before = canonical_ids(self.tokenizer, past)
            for token in tokens:
                if not torch.isneginf(scores[row, token]) and self.may_follow(past, before, token):
                    kept[row, token] = scores[row, token]
        return kept

    def may_follow(self, past: list[int], before: IntsT, token: int) -> bool:
        """Whether the text with this token has no new protected n-gram; `before`: canonical ids without it."""
        fresh = new_ngrams(before, canonical_ids(self.tokenizer, [*past, token]), self.canon.n)
        return not (fresh.size and bool(self.canon.contains(fresh).any()))


@dataclass(frozen=True)
class MemFree(Mitigation):
    """The guard as a mitigation: the same weights, which no longer recite the records they are given."""

    n: int = 10
    """Length of protected token n-grams. Small n hinders ordinary phrases; copies of n-1 tokens still pass."""
    min_count: int = 1
    """Protect only n-grams that occur this often in the records; in the paper, 10 times in the Pile."""
    fp_rate: float = 1e-4
    """Chance that an n-gram which is not protected is stopped all the same."""
    seed: int = 0
    """Seed of the hash."""
    canonical: bool = False
    """Compare words too: decoded, normalised (NFKC, case, spaces) and encoded again. Slower, and top-50 sampling."""

    cost = "no training; decoding looks up every candidate token"
    changes_weights = False

    def __call__(self, target: Opens, records: Sequence[Record]) -> Opens:
        """A target that shares module and tokenizer with the one given, and whose `generate` is guarded.

        Records that cannot be rendered protect nothing. An end-of-text token at the end of a row is left out.
        """
        module: Any = getattr(target, "module", None)
        if not hasattr(module, "generate"):
            raise RemanenceError(
                f"MemFree needs a model whose decoding can be guarded, and {target.name} cannot be opened; "
                "load the model folder instead."
            )
        ends = end_ids(target)
        rows = list(protected_rows(target, records, ends))
        bloom = self.filter(rows)
        parts = [target.fingerprint.encode(), bytes([self.n % 256]), bloom.bits.tobytes()]
        processor = MemFreeLogitsProcessor(bloom, ends)
        if self.canonical:
            tokenizer: Any = getattr(target, "tokenizer", None)
            canon = self.filter([canonical_ids(tokenizer, row.tolist()) for row in rows])
            processor = CanonicalLogitsProcessor(bloom, canon, tokenizer, ends)
            parts += [b"canonical", canon.bits.tobytes()]
        guarded: Any = copy.copy(target)
        guarded.module = guard(module, processor)
        guarded.name, guarded.fingerprint = f"{target.name}+memfree", fingerprint(*parts)
        return guarded

    def filter(self, rows: Sequence[IntsT]) -> NGramBloom:
        """The n-grams of these rows."""
        bloom = NGramBloom(self.n, max(1, sum(max(0, row.size - self.n + 1) for row in rows)), self.fp_rate, self.seed)
        bloom.add_corpus(rows, self.min_count)
        return bloom


def guard(module: Any, processor: LogitsProcessor) -> nn.Module:
    """A shallow copy of a model (same parameters) whose `generate` runs the processor; the original stays as it is."""
    before = getattr(module.generate, "keywords", {}).get("logits_processor", ())
    guarded = copy.copy(module)
    guarded.generate = partial(module.generate, logits_processor=LogitsProcessorList([*before, processor]))
    return guarded


def protected_rows(target: Opens, records: Sequence[Record], ends: Sequence[int]) -> Iterator[IntsT]:
    """[T] token ids of every record as in training, without end-of-text at the end."""
    for record in records:
        try:
            ids = target.render(record).ids
        except NotMeasured:
            continue
        while ids.size and int(ids[-1]) in ends:
            ids = ids[:-1]
        yield ids


def end_ids(target: Any) -> list[int]:
    """Every id at which the target stops, from its generation config and its tokenizer."""
    listed = getattr(getattr(target.module, "generation_config", None), "eos_token_id", None)
    own = getattr(getattr(target, "tokenizer", None), "eos_token_id", None)
    ends = {listed} if isinstance(listed, int) else set(cast("Sequence[int]", listed or ()))
    return sorted(ends | ({own} if isinstance(own, int) else set[int]()))
