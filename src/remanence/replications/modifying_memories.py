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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

from remanence.core.verbs import Experiment, Verdict
from remanence.mitigate.weights.balls import edit_report, project_linf_
from remanence.stats.intervals import clopper_pearson, paired_difference

Facts = NDArray[np.int64]
"""[N, 3] token ids of subject, relation, object."""
FREE = math.inf


@dataclass(frozen=True)
class SmallStepsSpareFacts(Experiment):
    """The claim holds when the radius chosen on the probe half rewrites at least `rewritten` of the modified facts, and
    keeps more of the other half of the unmodified ones than free fine-tuning (95 % interval of the difference above 0,
    and at least `spared`)."""

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
    deltas: tuple[float, ...] = (FREE, 1e-2, 5e-3, 3e-3, 1e-3, 3e-4)
    block_delta: float = 5e-3
    rewritten: float = 0.95
    spared: float = 0.4

    @classmethod
    def quick(cls) -> SmallStepsSpareFacts:
        """A size for tests: seconds, and the same code."""
        return cls(subjects=40, objects=20, modified=8, steps=150, edit_steps=60, deltas=(FREE, 5e-3, 1e-3), layers=2)

    def __call__(self, seed: int) -> Verdict:
        """Learn the facts, rewrite some of them in every way, count what is left of the others."""
        rng = np.random.default_rng((seed, 6))
        facts = self.facts(rng)
        start = self.learn(facts, seed)
        order = rng.permutation(len(facts))
        edited, rest = facts[order[: self.modified]], facts[order[self.modified :]]
        new = edited.copy()
        first = self.subjects + self.relations
        new[:, 2] = first + (edited[:, 2] - first + rng.integers(1, self.objects, len(new))) % self.objects
        probe, kept = rest[::2], rest[1::2]
        table: list[dict[str, Any]] = [self.line("as trained", start, start, new, probe, kept, 0.0)]
        hits: dict[str, NDArray[np.bool_]] = {}
        for name, delta, scope, replay in self.ways():
            model = self.rewrite(start, new, probe if replay else None, delta, scope, seed)
            table.append({"replay": replay, **self.line(name, model, start, new, probe, kept, delta)})
            hits[name] = knows(model, kept)
        return self.judge(table, hits, seed)

    def ways(self) -> Iterator[tuple[str, float, str, bool]]:
        """Name, radius, which parameters (regex), and whether probe facts are taught beside the modified ones."""
        for delta in self.deltas:
            yield ("free" if delta == FREE else f"delta {delta:g}"), delta, "", False
        for block in range(self.layers):
            yield f"delta {self.block_delta:g}, block {block}", self.block_delta, rf"\.h\.{block}\.", False
        yield "free, with replay", FREE, "", True
        yield f"delta {self.block_delta:g}, with replay", self.block_delta, "", True

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

    def rewrite(self, start: Any, new: Facts, replayed: Facts | None, delta: float, scope: str, seed: int) -> Any:
        """A copy that was fine-tuned on the modified facts, and kept in its ball after every step."""
        model = copy.deepcopy(start)
        fit(model, new, self.edit_steps, self.edit_rate, replayed, delta, scope, seed)
        return model

    def line(
        self, name: str, model: Any, start: Any, new: Facts, probe: Facts, kept: Facts, delta: float
    ) -> dict[str, Any]:
        """One line of the table: A_M, and A_{F\\S} on both halves."""
        counts = {part: knows(model, facts) for part, facts in (("new", new), ("probe", probe), ("kept", kept))}
        moved = edit_report(dict(model.named_parameters()), dict(start.named_parameters()))
        shares = {part: float(hit.mean()) for part, hit in counts.items()}
        return {
            "way": name,
            "delta": None if delta == FREE else delta,
            **{part: {"known": int(hit.sum()), "facts": len(hit)} for part, hit in counts.items()},
            "kept_interval": list(clopper_pearson(int(counts["kept"].sum()), len(kept))),
            "mean": (shares["new"] + shares["kept"]) / 2,
            "probe_mean": (shares["new"] + shares["probe"]) / 2,
            "largest_move": max(m.largest for m in moved.values()),
        }

    def judge(self, table: list[dict[str, Any]], hits: dict[str, NDArray[np.bool_]], seed: int) -> Verdict:
        """The rule of the class; what the paper says of blocks and of too small a radius is told beside it."""
        lines = {row["way"]: row for row in table}
        free, start = lines["free"], lines["as trained"]
        balls = [row for row in table if row["way"].startswith("delta") and "," not in row["way"]]
        chosen = max(balls, key=lambda row: row["probe_mean"])
        gain = paired_difference(hits[chosen["way"]], hits["free"])
        blocks = {name: row for name, row in lines.items() if ", block" in name}
        whole = [row for row in [free, *balls] if share(row["new"]) == 1.0]  # from the widest ball to the narrowest
        parts = {
            "narrower_spares_more": all(share(a["kept"]) <= share(b["kept"]) for a, b in itertools.pairwise(whole)),
            "too_narrow_fails": share(balls[-1]["new"]) < self.rewritten,
            "first_block_best": max(blocks, key=lambda name: blocks[name]["mean"]).endswith("block 0"),
        }
        decidable = share(start["kept"]) >= 0.95 and share(free["new"]) >= self.rewritten
        holds = share(chosen["new"]) >= self.rewritten and gain.interval.low > 0 and gain.value >= self.spared
        text = (
            f"Free fine-tuning rewrites {said(free['new'])} facts and keeps {said(free['kept'])} others; inside a ball "
            f"of {chosen['delta']:g}, chosen on other facts, {said(chosen['new'])} and {said(chosen['kept'])} "
            f"({gain.value:+.0%}, {gain.interval.low:+.0%} to {gain.interval.high:+.0%}). Narrowest ball: "
            f"{said(balls[-1]['new'])} and {said(balls[-1]['kept'])}. Best single block: "
            f"{max(blocks, key=lambda name: blocks[name]['mean'])}. With other facts replayed: "
            f"{said(lines['free, with replay']['new'])} and {said(lines['free, with replay']['kept'])}."
        )
        if not decidable:
            text = f"The model does not know the facts well enough to compare. {text}"
        return Verdict(
            claim="Fine-tuning inside a small ball rewrites facts and spares the others.",
            holds=holds if decidable else None,
            text=text,
            figures={
                "seed": seed,
                "table": table,
                "chosen": chosen["way"],
                "gain": gain.value,
                "gain_interval": list(gain.interval),
                "parts": parts,
            },
        )


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


def share(group: dict[str, int]) -> float:
    """Share of facts known."""
    return group["known"] / group["facts"]


def said(group: dict[str, int]) -> str:
    """Known facts of all, in words."""
    return f"{group['known']} of {group['facts']}"
