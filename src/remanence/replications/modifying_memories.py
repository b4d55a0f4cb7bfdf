"""Modifying memories: do small steps in all weights rewrite a few facts and leave the others as they were?

Paper: Zhu et al. 2020, "Modifying Memories in Transformer Models", arXiv 2012.00363

A tiny GPT-2 learns 600 facts: subject, relation, object. 32 of them are given another object. It is fine-tuned on these
alone, freely and inside L-infinity balls of several radii, in all weights and in one block at a time, and once beside
facts that stay. The radius is chosen on one half of the unmodified facts and judged on the other.
"""

from __future__ import annotations

import copy
import itertools
import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

from remanence.mitigate.weights.balls import edit_report, project_linf_
from remanence.replications.frame.experiment import Experiment, Part
from remanence.replications.frame.figure import Figures, Row, number, paired, share

Facts = NDArray[np.int64]
"""[N, 3] token ids of subject, relation, object."""
FREE = math.inf
START, GAIN = "as trained", ", minus free"


class Arm(NamedTuple):
    """How facts are rewritten."""

    delta: float
    """Radius of the ball around the start, in L-infinity."""
    scope: str = ""
    """Which parameters, as a regular expression."""
    replay: bool = False
    """Whether probe facts are taught beside the modified ones."""


class Shared(NamedTuple):
    """What all arms start from."""

    start: Any
    new: Facts
    """The modified facts."""
    probe: Facts
    """Half of the others: they choose the radius, and are replayed."""
    kept: Facts
    """The other half, on which the verdict is."""


@dataclass(frozen=True)
class SmallStepsSpareFacts(Experiment):
    """The claim holds when the radius chosen on the probe half rewrites at least `rewritten` of the modified facts, and
    keeps more of the other half of the unmodified ones than free fine-tuning (95 % interval of the difference above 0,
    and at least `spared`)."""

    claim = "Fine-tuning inside a small ball rewrites facts and spares the others."
    system = "constrained"
    sizes: ClassVar = {
        "quick": {"subjects": 40, "objects": 20, "modified": 8, "steps": 150, "edit_steps": 60,
                  "deltas": (5e-3, 1e-3), "layers": 2}
    }  # fmt: skip

    subjects: int = 120
    relations: int = 5
    objects: int = 60
    modified: int = 32
    steps: int = 400
    edit_steps: int = 200
    learning_rate: float = 2e-3
    edit_rate: float = 5e-4
    width: int = 64
    layers: int = 3
    deltas: tuple[float, ...] = (1e-2, 5e-3, 3e-3, 1e-3, 3e-4)
    """Radii, widest first."""
    block_delta: float = 5e-3
    rewritten: float = 0.95
    spared: float = 0.4

    def shared(self, seed: int) -> Shared:
        """A model that has learned all facts, and which of them get another object."""
        rng = np.random.default_rng((seed, 6))
        facts = self.facts(rng)
        start = self.learn(facts, seed)
        order = rng.permutation(len(facts))
        edited, rest = facts[order[: self.modified]], facts[order[self.modified :]]
        new = edited.copy()
        first = self.subjects + self.relations
        new[:, 2] = first + (edited[:, 2] - first + rng.integers(1, self.objects, len(new))) % self.objects
        return Shared(start, new, rest[::2], rest[1::2])

    def arms(self) -> dict[str, Arm | None]:
        """The model as trained (None); free, in balls, in one block at a time, and with replay."""
        return {
            START: None,
            "free": Arm(FREE),
            **{f"delta {delta:g}": Arm(delta) for delta in self.deltas},
            **{
                f"delta {self.block_delta:g}, block {block}": Arm(self.block_delta, rf"\.h\.{block}\.")
                for block in range(self.layers)
            },
            "free, with replay": Arm(FREE, replay=True),
            f"delta {self.block_delta:g}, with replay": Arm(self.block_delta, replay=True),
        }

    def facts(self, rng: np.random.Generator) -> Facts:
        """Every subject with every relation, and an object drawn at random."""
        subject, relation = np.divmod(np.arange(self.subjects * self.relations), self.relations)
        drawn = rng.integers(0, self.objects, len(subject))
        first = self.subjects + self.relations
        return np.stack([subject, self.subjects + relation, first + drawn], axis=1)

    def learn(self, facts: Facts, seed: int) -> Any:
        """A fresh model that was shown all facts in every step."""
        config = GPT2Config(
            vocab_size=self.subjects + self.relations + self.objects,
            n_positions=4,
            n_embd=self.width,
            n_layer=self.layers,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = GPT2LMHeadModel(config)
        fit(model, facts, self.steps, self.learning_rate)
        return model

    def train(self, arm: Arm | None, shared: Shared, seed: int) -> Any:
        """A copy that was fine-tuned on the modified facts, and kept in its ball after every step."""
        model = copy.deepcopy(shared.start)
        if arm is not None:
            replayed = shared.probe if arm.replay else None
            fit(model, shared.new, self.edit_steps, self.edit_rate, replayed, arm.delta, arm.scope, seed)
        return model

    def measure(self, trained: Any, shared: Shared, seed: int) -> Row:
        """The paper's A_M (modified facts) and A_{F\\S} (the others, in two halves), and how far weights moved."""
        moved = edit_report(dict(trained.named_parameters()), dict(shared.start.named_parameters()))
        return {
            "rewritten": share(knows(trained, shared.new)),
            "probe facts kept": share(knows(trained, shared.probe)),
            "other facts kept": share(knows(trained, shared.kept)),
            "largest move": number(max(m.largest for m in moved.values())),
        }

    def compare(self, figures: Figures, seed: int) -> Figures:
        """Every ball against free fine-tuning, over the facts that neither radius nor replay saw."""
        free = figures["free"]["other facts kept"]
        return {
            f"{name}{GAIN}": {"other facts kept": paired(figures[name]["other facts kept"], free, seed)}
            for name in self.balls()
        }

    def balls(self) -> list[str]:
        """The arms among which the radius is chosen, widest first."""
        return [f"delta {delta:g}" for delta in self.deltas]

    def rule(self, figures: Figures) -> list[Part]:
        """As the class states; what the paper says of blocks and of too small a radius is reported beside it."""

        def both(name: str, half: str) -> float:
            return (figures[name]["rewritten"].value + figures[name][half].value) / 2

        def told(name: str) -> str:
            row = figures[name]
            return f"rewrites {row['rewritten'].short} facts and keeps {row['other facts kept'].short} others"

        free, start, narrowest = figures["free"], figures[START], self.balls()[-1]
        chosen = max(self.balls(), key=lambda name: both(name, "probe facts kept"))
        gain = figures[f"{chosen}{GAIN}"]["other facts kept"]
        best = max((n for n in figures if ", block" in n), key=lambda name: both(name, "other facts kept"))
        whole = [figures[name] for name in ["free", *self.balls()] if figures[name]["rewritten"].value == 1.0]
        return [
            Part("The model knows the facts", start["other facts kept"].value >= 0.95,
                 f"the model knows {start['other facts kept']} facts", "control"),
            Part("Free fine-tuning rewrites them", free["rewritten"].value >= self.rewritten,
                 f"free fine-tuning rewrites {free['rewritten']} facts", "control"),
            Part("The chosen ball rewrites the facts", figures[chosen]["rewritten"].value >= self.rewritten,
                 f"Free fine-tuning {told('free')}; the ball chosen on other facts, {chosen}, {told(chosen)}"),
            Part("It spares the others", gain.low > 0 and gain.value >= self.spared,
                 f"It keeps {gain} more than free fine-tuning"),
            Part("Narrower balls spare more",
                 all(a["other facts kept"].value <= b["other facts kept"].value for a, b in itertools.pairwise(whole)),
                 f"Kept, of the balls that rewrite everything: {', '.join(r['other facts kept'].short for r in whole)}",
                 "beside"),
            Part("Too narrow a ball fails", figures[narrowest]["rewritten"].value < self.rewritten,
                 f"{narrowest} {told(narrowest)}".capitalize(), "beside"),
            Part("The first block is the best", best.endswith("block 0"), f"The best single block is {best}", "beside"),
        ]  # fmt: skip


def fit(
    model: Any,
    facts: Facts,
    steps: int,
    lr: float,
    replayed: Facts | None = None,
    delta: float = FREE,
    scope: str = "",
    seed: int = 0,
) -> None:
    """Adam on all facts at once, loss on the object; after every step back into the ball around the start.

    `replayed` adds as many facts of this list to every step, drawn anew each time.
    """
    chosen = {name: p for name, p in model.named_parameters() if re.search(scope, name)}
    start = {name: p.detach().clone() for name, p in chosen.items()}
    optimizer = torch.optim.Adam(chosen.values(), lr=lr)
    rng = np.random.default_rng((seed, 7))
    model.train()
    for _ in range(steps):
        rows = facts
        if replayed is not None:
            rows = np.concatenate([facts, replayed[rng.choice(len(replayed), len(facts), replace=False)]])
        ids = torch.from_numpy(rows)
        logits = model(input_ids=ids[:, :2]).logits[:, -1]
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(logits, ids[:, 2]).backward()
        optimizer.step()
        if delta != FREE:
            project_linf_(chosen, start, delta)
    model.eval()


@torch.no_grad()
def knows(model: Any, facts: Facts) -> NDArray[np.bool_]:
    """[N] whether the object is the model's first choice."""
    ids = torch.from_numpy(facts)
    return (model(input_ids=ids[:, :2]).logits[:, -1].argmax(-1) == ids[:, 2]).numpy()
