"""A world of synthetic facts: subjects, relations and objects, with popular and rare subjects and several wordings.

Every subject has exactly one object for every relation, drawn at random, so a fact can be known and never guessed:
without the fact the best is 1 / objects. Some subjects are held out: no fact of theirs is trained on.

Shapes: N facts, S subjects, R relations, T tokens of a statement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.testbeds.cache import cached
from remanence.testbeds.weights import load_weights, save_weights
from remanence.training.tiny import tiny_gpt2, train_lm

Ids = NDArray[np.int64]
START = 0
"""Token at the beginning of every statement."""


@dataclass(frozen=True)
class FactWorld:
    """The world. Two worlds with the same fields have the same facts.

    Ids of a fact [subject, relation, object] count from 0 each; tokens of a statement are START, then words of names,
    then relation words, then objects.
    """

    subjects: int = 120
    """Subjects with facts to train on."""
    heldout_subjects: int = 40
    """Subjects of whom no fact is trained on; their ids come after the others'."""
    relations: int = 5
    objects: int = 60
    templates: int = 1
    """Wordings of each relation: a word of its own, before the name in every second one and after it in the others."""
    name_words: Literal[1, 2] = 1
    """Tokens of a subject's name; with 2, no word says who is meant."""
    exponent: float = 0.0
    """The subject of rank r is trained on in proportion to r^-exponent; 0 = all alike."""
    seed: int = 0

    @cached_property
    def objects_SR(self) -> Ids:
        """[S, R] the object of every subject, held-out ones included, and every relation."""
        rng = np.random.default_rng((self.seed, 1))
        return rng.integers(self.objects, size=(self.subjects + self.heldout_subjects, self.relations))

    @property
    def train_N3(self) -> Ids:
        """[N, 3] the facts to train on."""
        return self._facts(np.arange(self.subjects))

    @property
    def heldout_N3(self) -> Ids:
        """[N, 3] the facts of the held-out subjects."""
        return self._facts(np.arange(self.subjects, self.subjects + self.heldout_subjects))

    @cached_property
    def popularity_S(self) -> NDArray[np.float64]:
        """[subjects] probability of every subject in training, the first one's the highest; the sum is 1."""
        weights = np.arange(1, self.subjects + 1, dtype=np.float64) ** -self.exponent
        return weights / weights.sum()

    @property
    def name_vocab(self) -> int:
        """Different words of names."""
        everybody = self.subjects + self.heldout_subjects
        return everybody if self.name_words == 1 else int(np.ceil(np.sqrt(everybody)))

    @property
    def vocab(self) -> int:
        """Different tokens."""
        return 1 + self.name_vocab + self.relations * self.templates + self.objects

    @property
    def first_object(self) -> int:
        """Token of object 0."""
        return self.vocab - self.objects

    @property
    def length(self) -> int:
        """Tokens of a statement; the object is the last."""
        return 1 + self.name_words + 2

    def statements(self, facts_N3: Ids, template: int | Ids = 0) -> Ids:
        """[N, T] the facts as tokens, in one wording or each in its own."""
        subject_N, relation_N, object_N = facts_N3.T
        wording_N = np.broadcast_to(np.asarray(template, dtype=np.int64), subject_N.shape)
        word_N = 1 + self.name_vocab + relation_N * self.templates + wording_N
        name = [1 + subject_N] if self.name_words == 1 else [1 + part for part in np.divmod(subject_N, self.name_vocab)]
        start_N = np.full_like(subject_N, START)
        after = np.stack([start_N, *name, word_N, self.first_object + object_N], axis=1)
        before = np.stack([start_N, word_N, *name, self.first_object + object_N], axis=1)
        return np.where((wording_N % 2 == 1)[:, None], before, after)

    def draw(self, n: int, rng: np.random.Generator) -> Ids:
        """[n, 3] training facts, subjects by their popularity and relations uniform."""
        subject = rng.choice(self.subjects, size=n, p=self.popularity_S)
        relation = rng.integers(self.relations, size=n)
        return np.stack([subject, relation, self.objects_SR[subject, relation]], axis=1)

    def groups(self, num: int, size: int, share: Literal["none", "subjects"] = "none") -> list[Ids]:
        """`num` groups of `size` training facts, no fact in two of them.

        none: no subject stands in two groups. subjects: all groups are about the same subjects, each by a relation of
        its own. Raises `RemanenceError` if the world is too small.
        """
        order = np.random.default_rng((self.seed, 2)).permutation(self.subjects)
        needed = num * size if share == "none" else size
        if needed > self.subjects or (share == "subjects" and num > self.relations):
            raise RemanenceError(
                f"A world of {self.subjects} subjects and {self.relations} relations has no {num} groups of {size} "
                f"facts with {share} shared; enlarge it."
            )
        groups: list[Ids] = []
        for k in range(num):
            subject = order[:size] if share == "subjects" else order[k * size : (k + 1) * size]
            relation = np.full(size, k) if share == "subjects" else (np.arange(size) + k) % self.relations
            groups.append(np.stack([subject, relation, self.objects_SR[subject, relation]], axis=1))
        return groups

    def _facts(self, subjects: Ids) -> Ids:
        subject = np.repeat(subjects, self.relations)
        relation = np.tile(np.arange(self.relations), len(subjects))
        return np.stack([subject, relation, self.objects_SR[subject, relation]], axis=1)


@dataclass(frozen=True)
class FactLM:
    """A tiny GPT-2 trained on statements of the world. Seeds: of the world, the weights, and the order."""

    version: ClassVar[int] = 1

    world: FactWorld = field(default_factory=FactWorld)
    size: str = "small"
    steps: int = 600
    batch: int = 256
    """Statements per step, drawn by popularity, each in a wording drawn at random."""
    learning_rate: float = 2e-3
    seed: int = 0
    order_seed: int = 0

    def model(self) -> Any:
        """The trained model from the cache, a new object at every call."""
        return cached(self, self.train, save_weights, self._load)

    def train(self) -> Any:
        """Train it, without the cache; only the object carries loss."""
        model, rng = self.untrained(), np.random.default_rng((self.order_seed, 3))

        def batch() -> torch.Tensor:
            wording = rng.integers(self.world.templates, size=self.batch)
            return torch.from_numpy(self.world.statements(self.world.draw(self.batch, rng), wording))

        train_lm(model, (batch() for _ in range(self.steps)), self.learning_rate, prepare=only_object)
        return model

    def untrained(self) -> Any:
        """The model with its first weights."""
        return tiny_gpt2(self.size, vocab=self.world.vocab, positions=self.world.length, seed=self.seed)

    def _load(self, folder: Path) -> Any:
        return load_weights(self.untrained(), folder)


def only_object(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels for `train_lm`: the last token alone carries loss."""
    labels = torch.full_like(ids, -100)
    labels[:, -1] = ids[:, -1]
    return ids, labels


@torch.no_grad()
def knows(model: Any, world: FactWorld, facts_N3: Ids, template: int = 0) -> NDArray[np.bool_]:
    """[N] whether the object is the model's most likely token after the rest of the statement."""
    ids = torch.from_numpy(world.statements(facts_N3, template))
    return (model(input_ids=ids).logits[:, -2].argmax(-1) == ids[:, -1]).numpy()
