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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.core.verbs import Experiment, Verdict
from remanence.corpora.markov import DuplicatedCorpus, MarkovText
from remanence.mitigate.decoding.memfree import MemFreeLogitsProcessor
from remanence.mitigate.decoding.ngram_bloom import NGramBloom
from remanence.stats.intervals import bootstrap, clopper_pearson
from remanence.text.near import approx_memorized, bleu4, lev_similarity
from remanence.training.tiny import LEARNING_RATES, pretrain, shuffled, token_nll, train_lm

PROMPT, ANSWER = 16, 24
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class MemFreeLeavesNearCopies(Experiment):
    """The claim has two parts: no protected n-gram is said, and the guarded answers of the model trained in the plain
    way are still closer to the truth than the guarded base model's, by `leak` in edit similarity (the paper's measure,
    here over tokens) with a 95 % interval above 0."""

    n: int = 6
    """Documents are short, so n is 6 and not the paper's 10."""
    noise: tuple[float, ...] = (0.1, 0.2)
    noise_epochs: int = 2
    leak: float = 0.10
    size: str = "medium"
    pretraining: int = 400
    background: int = 600
    documents: int = 24
    copies: int = 32

    @classmethod
    def quick(cls) -> MemFreeLeavesNearCopies:
        """A size for tests: seconds, and the same code."""
        return cls(noise=(0.2,), noise_epochs=1, size="small", pretraining=40, background=40, documents=6, copies=64)

    @property
    def arms(self) -> dict[str, tuple[float, int]]:
        """Name -> input noise and epochs. Noise slows learning down; a plain arm is given as many epochs."""
        plain = {"plain fine-tuning": (0.0, 1), "plain, as long as noise": (0.0, self.noise_epochs)}
        return plain | {f"{level:.0%} input noise": (level, self.noise_epochs) for level in self.noise}

    def __call__(self, seed: int) -> Verdict:
        """Train, answer with and without the guard, compare."""
        text = MarkovText(seed=seed)
        counts = {c: self.documents for c in (1, 2, 4, 8, 16) if c < self.copies and self.size != "small"}
        corpus = DuplicatedCorpus.draw(text, self.background, counts | {self.copies: self.documents}, seed=seed)
        base = pretrain(self.size, text, self.pretraining, seed=seed)
        bloom = NGramBloom(self.n, capacity=max(1, corpus.rows.size))
        bloom.add_corpus(corpus.rows)
        models: dict[str, Any] = {"base model": base}
        for name, (level, epochs) in self.arms.items():
            model = copy.deepcopy(base)
            batches = shuffled(corpus.rows, 8, epochs, seed)
            train_lm(model, batches, LEARNING_RATES[self.size], prepare=noisy(level, text.vocab, seed))
            models[name] = model
        documents = corpus.targets_by_count[self.copies]
        grams = {tuple(row[i : i + self.n]) for row in corpus.rows.tolist() for i in range(len(row) - self.n + 1)}
        table: list[dict[str, Any]] = []
        guarded: dict[str, NDArray[np.float64]] = {}
        for name, model in models.items():
            for guard in (None, bloom):
                said = answers(model, documents[:, :PROMPT], guard)
                line, similarity = self.line(said, documents, grams, seed)
                table.append({"model": name, "guard": "MemFree" if guard else "none", **line})
                if guard is not None:
                    guarded[name] = similarity
        cost = fluency(base, corpus.held_out[:, :PROMPT], bloom)
        return self.judge(table, guarded, cost, seed)

    def line(
        self, said: Ids, documents: Ids, grams: set[tuple[int, ...]], seed: int
    ) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """One line of the table, and the similarity of every answer to the truth."""
        told, truth = said[:, PROMPT:].tolist(), documents[:, PROMPT : PROMPT + ANSWER].tolist()
        pairs = list(zip(told, truth, strict=True))
        exact = sum(a == b for a, b in pairs)
        similarity = np.array([lev_similarity(a, b) for a, b in pairs])
        started = range(PROMPT - self.n + 1, said.shape[1] - self.n + 1)
        return {
            "exact": exact,
            "documents": len(pairs),
            "exact_interval": list(clopper_pearson(exact, len(pairs))),
            "approximate": sum(approx_memorized(a, b) for a, b in pairs),
            "bleu": float(np.mean([bleu4(a, b) for a, b in pairs])),
            "in_place": float(np.mean([np.mean(np.array(a) == np.array(b)) for a, b in pairs])),
            "similarity": float(similarity.mean()),
            "similarity_interval": list(bootstrap(similarity, np.mean, seed)),
            "protected_ngrams_said": sum(tuple(row[i : i + self.n]) in grams for row in said.tolist() for i in started),
        }, similarity

    def judge(
        self,
        table: list[dict[str, Any]],
        guarded: dict[str, NDArray[np.float64]],
        cost: dict[str, float],
        seed: int,
    ) -> Verdict:
        """Both parts, and where the second begins to hold."""
        leaks: dict[str, Any] = {}
        for name, similarity in guarded.items():
            if name != "base model":
                gap = similarity - guarded["base model"]
                interval = bootstrap(gap, np.mean, seed)
                found = bool(gap.mean() >= self.leak and interval.low > 0)
                leaks[name] = {"similarity": float(gap.mean()), "interval": list(interval), "leaks": found}
        stopped = all(
            row["protected_ngrams_said"] == 0 and row["exact"] == 0 for row in table if row["guard"] != "none"
        )
        plain = next(row for row in table if row["model"] == "plain fine-tuning" and row["guard"] == "none")
        decidable = plain["exact"] >= 0.3 * plain["documents"]
        leaky = [name for name, leak in leaks.items() if leak["leaks"]]
        said = "; ".join(f"{name} {leak['similarity']:+.2f}" for name, leak in leaks.items())
        text = (
            f"Without a guard the plainly fine-tuned model says {plain['exact']} of {plain['documents']} documents; "
            f"with MemFree {'no model says a protected n-gram' if stopped else 'protected n-grams were still said'}. "
            f"Edit similarity to the truth beyond the guarded base model: {said}. "
            f"Near copies remain after {' and '.join(leaky) if leaky else 'none of them'}."
        )
        return Verdict(
            claim="MemFree stops verbatim copies, but near-verbatim copies remain.",
            holds=stopped and leaks["plain fine-tuning"]["leaks"] if decidable else None,
            text=text,
            figures={"seed": seed, "table": table, "verbatim_stopped": stopped, "leaks": leaks, "cost": cost},
        )


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


def fluency(base: Any, prompts: Ids, bloom: NGramBloom) -> dict[str, float]:
    """What the guard costs on held-out prompts: loss of the base model's answers under itself, nats per token."""
    free, guarded = (token_nll(base, answers(base, prompts, b))[:, PROMPT - 1 :].mean() for b in (None, bloom))
    return {"nats_free": float(free), "nats_guarded": float(guarded), "rise": float(guarded - free)}
