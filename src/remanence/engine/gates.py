"""Gates: rules such as `excess>0.01` that make a run fail, or end a training."""

from __future__ import annotations

import operator
import re
from typing import Any

from remanence.core.errors import RemanenceError

RULES = ("rate", "rate_low", "excess", "excess_low", "over_base", "over_base_low", "auc")
"""Figures that a rule can name."""
_RULE = re.compile(r"^\s*([a-z_]+)\s*(>=|<=|>|<)\s*([0-9.eE+-]+)\s*$")
_COMPARE = {">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def read_rule(rule: str) -> tuple[str, str, float]:
    """(figure, comparison, number) of a `--fail-if` rule. Raises `RemanenceError` when it cannot be parsed."""
    match = _RULE.match(rule)
    try:
        number = float(match[3]) if match else 0.0
    except ValueError:
        match = None
        number = 0.0
    if match is None or match[1] not in RULES:
        raise RemanenceError(
            f"Cannot read --fail-if {rule!r}: write it like 'excess>0.01', with one of {', '.join(RULES)}."
        )
    return match[1], match[2], number


def holds(rule: str, value: float) -> bool:
    """Whether a rule holds for the value of its figure."""
    _, comparison, number = read_rule(rule)
    return bool(_COMPARE[comparison](value, number))


def check_rule(rule: str, with_heldout: bool, with_base: bool) -> None:
    """Raise `RemanenceError`, before anything is measured, for a rule whose figure will not be measured."""
    name = read_rule(rule)[0]
    if name.startswith(("excess", "auc")) and not with_heldout:
        raise RemanenceError(f"--fail-if {rule!r} needs --heldout: without held-out rows {name} is not measured.")
    if name.startswith("over_base") and not with_base:
        raise RemanenceError(f"--fail-if {rule!r} needs --base: without a base model {name} is not measured.")


def apply_rule(verdict: dict[str, Any], rule: str | None) -> str | None:
    """Record in the verdict whether the rule holds. Returns why that cannot be decided, where it cannot."""
    if rule is None:
        return None
    name = read_rule(rule)[0]
    value = verdict["headline"]["low" if name == "rate_low" else name]
    if value is None:
        undecided = f"--fail-if {rule!r} cannot be decided: no row allowed {name} to be measured."
        verdict["cannot_claim"].append(undecided)
        verdict["fail_if"] = {"rule": rule, "failed": None}
        return undecided
    verdict["fail_if"] = {"rule": rule, "failed": holds(rule, value)}
    return None
