"""From row-by-row outcomes to `effects.parquet`: every rate of every recipe, pooled over seeds, with its baselines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.run import Run
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.data import family
from remanence.jobs.study.outcomes import Cell, read_outcomes
from remanence.jobs.study.settings import StudySettings
from remanence.stats.effects import Effects, SeedSides, effects
from remanence.stats.rates import Rate

_TEXT, _INT, _FLOAT = pa.string(), pa.int32(), pa.float64()
_SIDES = ("", "floor_", "base_", "base_floor_", "ceiling_")
_PARTS = (("hits", _INT), ("n", _INT), ("rate", _FLOAT), ("low", _FLOAT), ("high", _FLOAT))
EFFECTS = pa.schema(
    [
        *((name, _TEXT) for name in ("task", "family", "model", "loss_on")),
        *(("epochs", _INT), ("learning_rate", _FLOAT), ("batch_size", _INT), ("lora_rank", _INT)),
        ("copies", _TEXT),  # all, or how often a row is trained on
        *(("metric", _TEXT), ("side", _TEXT), ("prefix", _TEXT), ("budget", _INT), ("detail", _TEXT)),
        *((f"{side}{part}", kind) for side in _SIDES for part, kind in _PARTS),
        ("excess", _FLOAT),  # rate minus floor, mean over seeds
        ("excess_low", _FLOAT),
        ("excess_high", _FLOAT),
        ("did", _FLOAT),  # excess minus the base model's
        ("did_low", _FLOAT),
        ("did_high", _FLOAT),
        ("normalised", _FLOAT),  # (rate - floor) / (ceiling - floor)
        ("by_seed", pa.list_(_FLOAT)),  # excess of each seed
    ]
)
"""Every rate of every recipe. Counts are pooled over seeds; for `nats`, `rate` is a mean log-probability.

`floor_`: held-out rows on the tuned model; `base_`: the same rows on the base model; `base_floor_`: held-out rows on
the base model; `ceiling_`: the rows' own continuations through the same detector. `effects.parquet`
"""

Found = dict[tuple[str, str], dict[Cell, NDArray[np.float32]]]
"""(who, group) -> cell -> values [R]."""


@dataclass(frozen=True)
class Recipe:
    """The arms of a recipe, one per seed, with what was found, and how often each member was trained on."""

    arm: Arm
    seeds: list[int]
    found: list[Found]
    copies: list[NDArray[np.int64]]


@dataclass(frozen=True)
class Summed:
    """The effects of one recipe on one stratum of copies; `cells` [C] name the places of `effects`."""

    recipe: Recipe
    copies: str
    cells: list[Cell]
    effects: Effects


def read_recipe(run: Run, arms: Sequence[Arm]) -> Recipe:
    """The arms that differ in the seed alone."""
    found: list[Found] = []
    copies: list[NDArray[np.int64]] = []
    for arm in arms:
        one: Found = {}
        for place in (f"arms/{arm.slug}", f"bases/{arm.base_slug}"):
            for who, group, cell, values in read_outcomes(run, f"{place}/outcomes"):
                one.setdefault((who, group), {})[cell] = values
        found.append(one)
        lines = run.lines(f"arms/{arm.slug}/probes")
        copies.append(np.array([line["copies"] for line in lines if line["group"] == "train"], np.int64))
    return Recipe(arms[0].recipe, [arm.seed for arm in arms], found, copies)


def by_recipe(arms: Iterable[Arm]) -> Mapping[Arm, list[Arm]]:
    """Arms grouped by recipe, in order."""
    groups: dict[Arm, list[Arm]] = {}
    for arm in arms:
        groups.setdefault(arm.recipe, []).append(arm)
    return groups


def summed(recipe: Recipe, settings: StudySettings) -> list[Summed]:
    """Effects over all rows and over rows of each number of copies."""
    cells = list(dict.fromkeys(cell for one in recipe.found for cell in one.get(("tuned", "train"), {})))
    counts = sorted({int(c) for copies in recipe.copies for c in copies})
    out: list[Summed] = []
    for label, chosen in [("all", None), *((str(c), c) for c in counts if len(counts) > 1)]:
        seeds: list[SeedSides] = []
        for one, copies in zip(recipe.found, recipe.copies, strict=True):
            keep = np.ones(copies.size, bool) if chosen is None else copies == chosen
            sides = [
                _stack(one, who, group, cells, keep) for who in ("tuned", "base") for group in ("train", "heldout")
            ]
            seeds.append(SeedSides(*sides))
        out.append(Summed(recipe, label, cells, effects(seeds, settings.rounds)))
    return out


def _stack(one: Found, who: str, group: str, cells: Sequence[Cell], keep: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[C, R] values; NaN where this side does not know the cell."""
    known = one.get((who, group), {})
    size = next((v.size for v in known.values()), keep.size)
    rows = [known.get(cell, np.full(size, np.nan, np.float32)) for cell in cells]
    values = np.stack(rows).astype(np.float64) if rows else np.zeros((0, size))
    return values[:, keep] if group == "train" else values


def effect_lines(one: Summed) -> list[dict[str, Any]]:
    """Lines of `effects.parquet`."""
    arm = one.recipe.arm
    head: dict[str, Any] = {"task": arm.task, "family": family(arm.task), "model": arm.model, "loss_on": arm.loss_on}
    head |= {"epochs": arm.epochs, "learning_rate": arm.learning_rate, "batch_size": arm.batch_size}
    head |= {"lora_rank": arm.lora_rank, "copies": one.copies}
    lines: list[dict[str, Any]] = []
    for c, cell in enumerate(one.cells):
        line = head | {"metric": cell.metric, "side": cell.side, "prefix": cell.prefix}
        line |= {"budget": cell.budget or None, "detail": cell.detail}
        for side, values in pooled(one, cell).items():
            line |= _rate(side, values, cell)
        for what in ("excess", "did"):
            value = getattr(one.effects, what)[c]
            line[what] = _number(value)
            for end in ("low", "high"):
                line[f"{what}_{end}"] = None if math.isnan(value) else _number(getattr(one.effects, f"{what}_{end}")[c])
        line["by_seed"] = [_number(v) for v in one.effects.excess_SC[:, c]]
        line["normalised"] = _normalised(line.get("rate"), line.get("floor_rate"), line.get("ceiling_rate"))
        lines.append(line)
    return lines


def pooled(one: Summed, cell: Cell) -> dict[str, NDArray[np.float64]]:
    """Values of all seeds, by side of the comparison; no NaN."""
    chosen = None if one.copies == "all" else int(one.copies)
    out: dict[str, NDArray[np.float64]] = {}
    sides = (("tuned", "train"), ("tuned", "heldout"), ("base", "train"), ("base", "heldout"), ("ceiling", "train"))
    for side, (who, group) in zip(_SIDES, sides, strict=True):
        parts: list[NDArray[np.float64]] = []
        for found, copies in zip(one.recipe.found, one.recipe.copies, strict=True):
            values = found.get((who, group), {}).get(cell)
            if values is None and who == "ceiling" and cell.metric in {"greedy", "sampled"}:
                tuned = found["tuned", "train"][cell]  # the row's own tokens come back by definition
                values = np.where(np.isnan(tuned), np.nan, 1.0)
            if values is not None:
                keep = slice(None) if group != "train" or chosen is None else copies == chosen
                parts.append(values.astype(np.float64)[keep])
        both = np.concatenate(parts) if parts else np.zeros(0)
        out[side] = both[~np.isnan(both)]
    return out


def _rate(side: str, values: NDArray[np.float64], cell: Cell) -> dict[str, Any]:
    if cell.metric == "nats":
        mean = float(values.mean()) if values.size else None
        return {f"{side}n": int(values.size), f"{side}rate": mean}
    rate = Rate.counted(int((values == 1).sum()), int(values.size))
    if not rate.n:
        return {f"{side}hits": 0, f"{side}n": 0}
    return {f"{side}{part}": getattr(rate, part) for part, _ in _PARTS}


def _normalised(rate: Any, floor: Any, ceiling: Any) -> float | None:
    """(rate - floor) / (ceiling - floor); None where one of them is missing or there is no room between the two."""
    if rate is None or floor is None or ceiling is None or ceiling <= floor:
        return None
    return (rate - floor) / (ceiling - floor)


def _number(value: Any) -> float | None:
    return None if math.isnan(float(value)) else float(value)
