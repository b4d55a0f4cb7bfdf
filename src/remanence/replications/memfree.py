"""MemFree leaves near copies: with every verbatim n-gram blocked, does the text still come back with small edits?

Paper: Ippolito et al. 2023, "Preventing Generation of Verbatim Memorization in Language Models Gives a False Sense of
Privacy", arXiv 2210.17546

Tiny GPT-2s that know a Markov language are fine-tuned on rows of which 24 occur 32 times: once in the plain way, and
with 10 % and 20 % of the input tokens replaced at random (clean labels), which teaches a model to go on after a wrong
word. All of them, and the base model, answer with and without MemFree. What the guarded model shares with the true
continuation beyond what the guarded base model shares is the leak.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from remanence.corpora.markov import DuplicatedCorpus, Ids, MarkovText
from remanence.mitigate.decoding.memfree import MemFreeLogitsProcessor
from remanence.mitigate.decoding.ngram_bloom import NGramBloom
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figures, Row, mean, number, paired, share
from remanence.testbeds.markov_lm import MarkovLM
from remanence.text.near import approx_memorized, bleu4, lev_similarity
from remanence.training.tiny import LEARNING_RATES, shuffled, token_nll, train_lm

PROMPT, ANSWER = 16, 24
BASE, PLAIN, GUARDED = "base model", "plain fine-tuning", "with MemFree: "


class Shared(NamedTuple):
    """What all arms start from."""

    corpus: DuplicatedCorpus
    base: Any
    bloom: NGramBloom
    grams: set[tuple[int, ...]]
    """The protected n-grams, counted without the filter."""


@dataclass(frozen=True)
class MemFreeLeavesNearCopies(Experiment):
    """The claim has two parts: no protected n-gram is said, and the guarded answers of the model trained in the plain
    way are still closer to the truth than the guarded base model's, by `leak` in edit similarity (the paper's measure,
    here over tokens) with a 95 % interval above 0."""

    claim = "MemFree stops verbatim copies, but near-verbatim copies remain."
    system = "memfree"
    sizes: ClassVar = {
        "quick": {"noise": (0.2,), "noise_epochs": 1, "model": "small", "pretraining": 40, "background": 40,
                  "documents": 6, "copies": 64, "fewer_copies": ()}
    }  # fmt: skip

    n: int = 6
    """Documents are short, so n is 6 and not the paper's 10."""
    noise: tuple[float, ...] = (0.1, 0.2)
    noise_epochs: int = 2
    leak: float = 0.10
    model: str = "medium"
    """Shape of the model, one of `remanence.training.tiny.SIZES`."""
    pretraining: int = 400
    background: int = 600
    documents: int = 24
    """For each number of copies."""
    copies: int = 32
    """How often the documents that are asked for occur."""
    fewer_copies: tuple[int, ...] = (1, 2, 4, 8, 16)
    """How often other documents occur."""

    def shared(self, seed: int) -> Shared:
        """The rows with their copies, the base model, and the filter."""
        text = MarkovText(seed=seed)
        counts = dict.fromkeys((*self.fewer_copies, self.copies), self.documents)
        corpus = DuplicatedCorpus.draw(text, self.background, counts, seed=seed)
        bloom = NGramBloom(self.n, capacity=max(1, corpus.rows.size))
        bloom.add_corpus(corpus.rows)
        grams = {tuple(row[i : i + self.n]) for row in corpus.rows.tolist() for i in range(len(row) - self.n + 1)}
        return Shared(corpus, MarkovLM(text, self.model, self.pretraining, seed=seed).model(), bloom, grams)

    def arms(self) -> dict[str, tuple[float, int] | None]:
        """Input noise and epochs. Noise slows learning down; a plain arm is given as many epochs."""
        noisy = {f"{level:.0%} input noise": (level, self.noise_epochs) for level in self.noise}
        return {BASE: None, PLAIN: (0.0, 1), "plain, as long as noise": (0.0, self.noise_epochs), **noisy}

    def train(self, arm: tuple[float, int] | None, shared: Shared, seed: int) -> Any:
        """The base model, or a copy that was fine-tuned on all rows."""
        if arm is None:
            return shared.base
        level, epochs = arm
        model = copy.deepcopy(shared.base)
        batches = shuffled(shared.corpus.rows, 8, epochs, seed)
        train_lm(model, batches, LEARNING_RATES[self.model], prepare=noisy(level, 256, seed))
        return model

    def measure(self, trained: Any, shared: Shared, seed: int) -> Row:
        """How close the answers are to the documents, without and with the guard, and what the guard costs."""
        documents = shared.corpus.targets_by_count[self.copies]
        row: Row = {}
        for prefix, bloom in (("", None), (GUARDED, shared.bloom)):
            answered = answers(trained, documents[:, :PROMPT], bloom)
            columns = self.row(answered, documents, shared.grams, seed)
            held_out = answers(trained, shared.corpus.held_out[:, :PROMPT], bloom)
            columns["loss of own answers"] = number(token_nll(trained, held_out)[:, PROMPT - 1 :].mean(), "nats")
            row |= {prefix + name: figure for name, figure in columns.items()}
        return row

    def row(self, answered: Ids, documents: Ids, grams: set[tuple[int, ...]], seed: int) -> Row:
        """Figures of the answers [N, PROMPT + ANSWER]."""
        pairs = list(zip(answered[:, PROMPT:].tolist(), documents[:, PROMPT : PROMPT + ANSWER].tolist(), strict=True))
        starts = range(PROMPT - self.n + 1, answered.shape[1] - self.n + 1)
        protected = sum(tuple(row[i : i + self.n]) in grams for row in answered.tolist() for i in starts)
        return {
            "word for word": share([a == b for a, b in pairs]),
            "BLEU > 0.75": share([approx_memorized(a, b) for a, b in pairs]),
            "mean BLEU": number(np.mean([bleu4(a, b) for a, b in pairs])),
            "edit similarity": mean([lev_similarity(a, b) for a, b in pairs], seed),
            "same token in place": number(np.mean([np.mean(np.array(a) == np.array(b)) for a, b in pairs])),
            "protected n-grams": number(protected),
        }

    def compare(self, figures: Figures, seed: int) -> Figures:
        """The leak: what a guarded model shares with the truth beyond the guarded base model."""
        column = GUARDED + "edit similarity"
        base = figures[BASE][column]
        return {
            f"{name}, leak": {column: paired(row[column], base, seed)} for name, row in figures.items() if name != BASE
        }

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; a plain model that says less than 30 % of the documents has nothing to guard."""
        exact = figures[PLAIN]["word for word"]
        protected = sum(
            row[GUARDED + "protected n-grams"].value + row[GUARDED + "word for word"].hits
            for name, row in figures.items()
            if not name.endswith(", leak")
        )
        leaks = {name: row[GUARDED + "edit similarity"] for name, row in figures.items() if name.endswith(", leak")}
        leaky = {name: leak.value >= self.leak and leak.low > 0 for name, leak in leaks.items()}
        beside = [f"after {name.removesuffix(', leak')} {leak}" for name, leak in leaks.items()]
        free, guarded = (figures[BASE][prefix + "loss of own answers"].value for prefix in ("", GUARDED))
        return [
            Part("The plain model says 30 % of the documents", exact.value >= 0.3,
                 f"the plain model says {exact} documents word for word", "control"),
            Part("No protected n-gram is said", protected == 0,
                 f"Plain fine-tuning says {exact.short} documents; with MemFree all models together say "
                 f"{protected:.0f} protected n-grams"),
            Part("Near copies remain after plain fine-tuning", leaky[f"{PLAIN}, leak"],
                 f"Edit similarity beyond the guarded base model after plain fine-tuning: {leaks[f'{PLAIN}, leak']}"),
            Part("Near copies remain after some training", any(leaky.values()), "; ".join(beside[1:]).capitalize(),
                 "beside"),
            Part("The guard costs fluency", guarded > free,
                 f"The guard raises the base model's loss of its own answers by {guarded - free:.2f} nats", "beside"),
        ]  # fmt: skip


def noisy(level: float, vocab: int, seed: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Inputs with this share of tokens replaced at random, and the clean tokens as labels."""
    generator = torch.Generator().manual_seed(seed)

    def prepare(ids: Tensor) -> tuple[Tensor, Tensor]:
        replaced = torch.rand(ids.shape, generator=generator) < level
        return torch.where(replaced, torch.randint(0, vocab, ids.shape, generator=generator), ids), ids

    return prepare


@torch.no_grad()
def answers(model: Any, prompts: Ids, bloom: NGramBloom | None) -> Ids:
    """[N, PROMPT + ANSWER] greedy answers behind their prompts, guarded if a filter is given."""
    ids = torch.from_numpy(prompts)
    return model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=ANSWER,
        min_new_tokens=ANSWER,
        do_sample=False,
        pad_token_id=0,
        logits_processor=[] if bloom is None else [MemFreeLogitsProcessor(bloom)],
    ).numpy()
