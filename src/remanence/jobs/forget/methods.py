"""Which methods are tried, and how hard: names of the catalogue become systems with their settings.

What stands in `mitigate/unlearning` and `mitigate/weights` works after training, along a path of growing strength. What
stands in `mitigate/training` trains the base model once more, and what stands in `mitigate/decoding` guards it.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from remanence.core.catalogue import Entry, entries
from remanence.core.errors import RemanenceError
from remanence.jobs.forget.settings import ForgetSettings
from remanence.training.settings import ADAPTER_FACTOR, DEFAULT_RATE, UnlearnSettings

Kind = Literal["after", "before", "decoding"]
KINDS: dict[str, Kind] = {
    "mitigate/unlearning": "after",
    "mitigate/weights": "after",
    "mitigate/training": "before",
    "mitigate/decoding": "decoding",
}
GRID: dict[str, Sequence[Mapping[str, Any]]] = {
    "task_vector": ({"origin": "target"}, {"origin": "base"}),
    "goldfish": ({"k": 4}, {"k": 3}),
    "dp_sgd": ({"target_epsilon": 8.0},),
}
"""Settings that are tried of a method; one that is not named is tried as it comes."""
AUTO = ("npo", "kl_retain", "gradient_difference", "localized", "constrained", "task_vector")
"""What `auto` sweeps: methods that need the model and rows to keep, nothing else."""
SWEPT = (1.0, 5.0)
"""`auto` tries these multiples of a method's own learning rate: what a large model bears does a small one nothing."""
NOT_BY_ALL = ("multitask",)
"""Methods that `all` leaves out: they need rows of other tasks."""


@dataclass(frozen=True)
class Plan:
    """One path: a method with its settings."""

    method: str
    kind: Kind
    setting: str
    """The settings as text, such as learning_rate=0.0001."""
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    number: int = 0
    """Which of the method's settings, from 0."""

    @property
    def slug(self) -> str:
        """Name of its files."""
        return f"{self.method}-{self.number}"

    @property
    def family(self) -> tuple[Any, ...]:
        """What settings that differ in their learning rate alone have in common."""
        return tuple((k, v) for k, v in sorted(self.params.items()) if k != "learning_rate")

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the method, with their defaults."""
        return {f.name: f.default for f in fields(system(self.method))}

    def build(self, training: Mapping[str, Any] | None = None, **more: Any) -> Any:
        """The method, with those of `more` that are fields of it.

        `training`: parameters of its training, of which those are used that it has.
        """
        known = self.fields
        values = {k: v for k, v in (more | dict(self.params)).items() if k in known}
        if "training" in known:
            given = {**(training or {}), **{k: v for k, v in self.params.items() if k not in known}}
            names = {f.name for f in fields(known["training"])}
            values["training"] = replace(known["training"], **{k: v for k, v in given.items() if k in names})
        return system(self.method)(**values)


def methods() -> dict[str, Entry]:
    """Every mitigation of the catalogue by name."""
    return {entry.name: entry for entry in entries() if entry.wing in KINDS}


def system(name: str) -> Any:
    """The class of a method. Raises `RemanenceError` for a name that the catalogue does not have."""
    known = methods()
    if name not in known:
        raise RemanenceError(f"There is no method {name!r}: choose from auto, all, {', '.join(known)}.")
    entry = known[name]
    return getattr(importlib.import_module(f"remanence.{entry.wing.replace('/', '.')}.{name}"), entry.cls)


def planned(settings: ForgetSettings, given: Collection[str]) -> tuple[list[Plan], list[str]]:
    """The paths to walk, and notes about methods that were left out.

    `given`: which of "base", "recipe", "models" there are, and "adapter" if the model is one. A method that was named
    and lacks something is refused; one that `all` or `auto` would have tried is left out.
    """
    plans: list[Plan] = []
    notes: list[str] = []
    known = methods()
    for name in settings.methods:
        swept = AUTO if name == "auto" else tuple(m for m in known if m not in NOT_BY_ALL) if name == "all" else (name,)
        for method in swept:
            if any(plan.method == method for plan in plans) or (method not in known and name in {"auto", "all"}):
                continue
            found, why = _paths(method, settings, given, swept=name == "auto")
            if not found and name not in {"auto", "all"}:
                raise RemanenceError(f"{method} {why}.")
            if not found and name == "all":
                notes.append(f"{method} was left out: it {why}.")
            plans += found
    return plans, notes


def _paths(method: str, settings: ForgetSettings, given: Collection[str], *, swept: bool) -> tuple[list[Plan], str]:
    cls = system(method)
    kind = KINDS[methods()[method].wing]
    if kind == "before" and not {"base", "recipe"} <= set(given):
        return [], "trains the base model once more, so it needs --base and how the model was trained (--recipe)"
    grid = GRID.get(method, ({},))
    training = next((f.default for f in fields(cls) if f.name == "training"), None)
    plans: list[Plan] = []
    why = ""
    for params in grid:
        needs_base_folder = getattr(cls, "needs_base_folder", False) and "models" not in given
        if (needs_base_folder or params.get("origin") == "base") and "base" not in given:
            why = "needs --base"
            continue
        rates: Sequence[float | None] = (None,)
        if isinstance(training, UnlearnSettings) and not getattr(cls, "needs_base_folder", False):
            own = training.learning_rate or DEFAULT_RATE * (ADAPTER_FACTOR if "adapter" in given else 1)
            rates = settings.learning_rates or (tuple(own * times for times in SWEPT) if swept else (own,))
        for rate in rates:
            chosen = dict(params) | ({} if rate is None else {"learning_rate": rate})
            text = ", ".join(f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in chosen.items())
            plans.append(Plan(method, kind, text, chosen, len(plans)))
    return plans, why
