"""What the report knows of a study: its effects, indexed, and where the tables of its arms lie.

The folder is read by the names of its tables, so nothing that made it is needed to read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from remanence.core.run import Run
from remanence.report.words import Line

ANY = "any"
"""Prefix of the cells for extraction at one split or more."""
PUBLISHED = "published"


class Kind(NamedTuple):
    """What arms share that stand in one block of the report."""

    model: str
    loss_on: str

    @property
    def label(self) -> str:
        """Decoder, loss on outputs."""
        return f"{self.model}, loss on {'inputs too' if self.loss_on == 'all' else 'outputs'}"


class Variant(NamedTuple):
    """How long and how hard was trained; the seed is no part of it."""

    epochs: int
    learning_rate: float
    batch_size: int
    lora_rank: int

    def beside(self, main: Variant) -> str:
        """What is different from the main variant, in words; empty for itself."""
        parts = [
            "" if self.learning_rate == main.learning_rate else f"rate {self.learning_rate:g}",
            ""
            if self.lora_rank == main.lora_rank
            else f"LoRA rank {self.lora_rank}"
            if self.lora_rank
            else "all weights",
            "" if self.epochs == main.epochs else f"{self.epochs} epochs",
            "" if self.batch_size == main.batch_size else f"batches of {self.batch_size}",
        ]
        return ", ".join(part for part in parts if part)


class Cell(NamedTuple):
    """What a line of `effects` counts."""

    metric: str
    side: str
    prefix: str = ""
    budget: int | None = None
    detail: str = ""
    copies: str = "all"


@dataclass(frozen=True)
class Study:
    """A study, read once."""

    run: Run
    spec: dict[str, Any]
    verdict: dict[str, Any]
    effects: dict[tuple[Kind, Variant], dict[Cell, dict[str, Line]]] = field(repr=False)
    """Kind and variant -> cell -> task -> line."""
    tasks: list[str]
    """Families together, in the order of the arms."""

    @classmethod
    def read(cls, run: Run) -> Study:
        """Read what is there; a study that is not finished has no effects yet."""
        spec = run.spec
        effects: dict[tuple[Kind, Variant], dict[Cell, dict[str, Line]]] = {}
        for line in _needed(run):
            cell = Cell(*(line[name] for name in Cell._fields))
            effects.setdefault((kind_of(line), variant_of(line)), {}).setdefault(cell, {})[line["task"]] = line
        tasks = list(dict.fromkeys(arm["task"] for arm in spec.get("arms") or []))
        families = list(dict.fromkeys(family(task) for task in tasks))
        tasks.sort(key=lambda task: families.index(family(task)))
        verdict = run.read_json("verdict.json") if run.has("verdict.json") else {}
        return cls(run, spec, verdict, effects, tasks)

    @property
    def kinds(self) -> list[Kind]:
        """In the order of the arms."""
        return list(dict.fromkeys(kind_of(arm) for arm in self.arms))

    @property
    def arms(self) -> list[Line]:
        """As they stand in `run.json`."""
        return self.spec.get("arms") or []

    @property
    def settings(self) -> dict[str, Any]:
        """As they stand in `run.json`."""
        return self.spec.get("settings") or {}

    @property
    def prompt_tokens(self) -> str:
        """Number of tokens that every prompt shows, as the cells of the tables name it."""
        return str(self.settings.get("prompt_tokens", self.settings.get("asked", "")))  # `asked` in schema version 1

    @property
    def budgets(self) -> list[int]:
        """Numbers of tokens that must be extracted."""
        return list(self.settings.get("budgets") or [])

    def budget(self, wanted: int = 10) -> int:
        """The budget nearest to what is wanted."""
        return min(self.budgets, key=lambda n: abs(n - wanted))

    def variants(self, kind: Kind) -> list[Variant]:
        """The main one first: that of most tasks, and of these the first."""
        found: dict[Variant, set[str]] = {}
        for arm in self.arms:
            if kind_of(arm) == kind:
                found.setdefault(variant_of(arm), set()).add(arm["task"])
        return sorted(found, key=lambda v: -len(found[v]))

    def line(self, kind: Kind, variant: Variant, task: str, cell: Cell) -> Line | None:
        """A line of `effects`; None where there is none."""
        return self.effects.get((kind, variant), {}).get(cell, {}).get(task)

    def of(self, kind: Kind, cell: Cell) -> dict[str, Line]:
        """Task -> line of the main variant, for tasks that have one."""
        found = self.effects.get((kind, self.variants(kind)[0]), {}).get(cell, {})
        return {task: found[task] for task in self.tasks if task in found}

    def cells(self, kind: Kind) -> Iterable[Cell]:
        """What was counted in the main variant."""
        return self.effects.get((kind, self.variants(kind)[0]), {})

    @property
    def version(self) -> str:
        """The version that made the study."""
        return str((self.spec.get("versions") or {}).get("remanence") or "")


def kind_of(line: Line) -> Kind:
    """Of a line or an arm."""
    return Kind(line["model"], line["loss_on"])


def variant_of(line: Line) -> Variant:
    """Of a line or an arm."""
    return Variant(*(line[name] for name in Variant._fields))


def family(task: str) -> str:
    """What stands before the slash; the whole name if there is none."""
    return task.partition("/")[0]


def own(task: str) -> str:
    """What stands behind the slash; the whole name if there is none."""
    return task.partition("/")[2] or task


def slug(arm: Line) -> str:
    """The name of an arm's folder in `arms/`."""

    def safe(name: str) -> str:
        return re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-") or "unnamed"

    rest = f"{arm['loss_on']}-e{arm['epochs']}-lr{arm['learning_rate']:g}-b{arm['batch_size']}-r{arm['lora_rank']}"
    return f"{safe(arm['task'])}.{safe(arm['model'])}.{rest}-s{arm['seed']}"


def _needed(run: Run) -> Sequence[Line]:
    """The lines that the report shows: of sampling only extraction at some split, by copies only that and two."""
    if not run.has("effects.parquet"):
        return []
    table = run.read_table("effects")
    named = (table[name].to_pylist() for name in ("metric", "prefix", "copies"))
    keep = [place for place, cell in enumerate(zip(*named, strict=True)) if _shown(*cell)]
    return table.take(pa.array(keep, pa.int64())).to_pylist()


def _shown(metric: str, prefix: str, copies: str) -> bool:
    if copies == "all":
        return metric != "sampled" or prefix == ANY
    return metric == PUBLISHED or (metric == "greedy" and prefix == ANY)
