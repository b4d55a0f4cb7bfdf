"""Every `run.json` that a forgetting can write obeys the published schema: all values of every enumerated field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.jobs.forget.forget import run_spec
from remanence.jobs.forget.methods import Plan
from remanence.jobs.forget.rows import HeldoutKind, Sides
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.run_schema import run_schema
from remanence.training.settings import FinetuneSettings

CHECK = jsonschema.Draft202012Validator(run_schema())
ROWS = [Record("r0", text="a row")]
CAUSAL: Any = SimpleNamespace(name="model", fingerprint="0" * 16, family="causal")
SEQ2SEQ: Any = SimpleNamespace(name="model", fingerprint="0" * 16, family="seq2seq")
RECIPE = FinetuneSettings(max_length=64, trainer="trl", packing="bfd")


def sides(heldout_is: HeldoutKind) -> Sides:
    return Sides(ROWS, {}, {}, ROWS, ROWS, ROWS, ROWS, heldout_is, ROWS)


def spec(
    target: Any = CAUSAL,
    base: Any = None,
    heldout_is: HeldoutKind = "heldout",
    settings: ForgetSettings | None = None,
    recipe: FinetuneSettings | None = None,
    retrained: bool = False,
) -> dict[str, Any]:
    plans = [Plan("npo", "after", "learning_rate=0.0001")]
    return run_spec(target, base, ROWS, sides(heldout_is), settings or ForgetSettings(), recipe, plans, retrained, {})


def choices(kind: type) -> Iterator[tuple[str, Any]]:
    """(field, value) of every field of a settings dataclass that is a `Literal`."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        if get_origin(hints[field.name]) is Literal:
            yield from ((field.name, value) for value in get_args(hints[field.name]))


@pytest.mark.parametrize("heldout_is", get_args(HeldoutKind))
@pytest.mark.parametrize("target", [CAUSAL, SEQ2SEQ], ids=["causal", "seq2seq"])
@pytest.mark.parametrize("base", [None, SEQ2SEQ], ids=["no-base", "base"])
@pytest.mark.parametrize("recipe", [None, RECIPE], ids=["no-recipe", "recipe"])
def test_every_kind_of_run_obeys_the_schema(target: Any, base: Any, heldout_is: HeldoutKind, recipe: Any) -> None:
    CHECK.validate(spec(target, base, heldout_is, recipe=recipe, retrained=recipe is not None))


@pytest.mark.parametrize(("name", "value"), list(choices(ForgetSettings)))
def test_every_value_of_every_setting_obeys_the_schema(name: str, value: Any) -> None:
    CHECK.validate(spec(settings=replace(ForgetSettings(), **{name: value})))


@pytest.mark.parametrize(("name", "value"), list(choices(FinetuneSettings)))
def test_every_value_of_every_setting_of_the_recipe_obeys_the_schema(name: str, value: Any) -> None:
    others: dict[str, Any] = {"packing": "none"} if (name, value) == ("trainer", "hf") else {}
    CHECK.validate(spec(recipe=replace(RECIPE, **{**others, name: value})))


@pytest.mark.parametrize(("name", "value"), [("heldout_is", "training"), ("family", "rnn")])
def test_other_values_do_not(name: str, value: str) -> None:
    wrong = spec()
    (wrong["data"] if name == "heldout_is" else wrong["models"]["tuned"])[name] = value
    assert not CHECK.is_valid(wrong)


def test_values_outside_the_enumerations_are_refused_before_anything_is_written() -> None:
    for kind in (ForgetSettings, FinetuneSettings):
        for name in dict(choices(kind)):
            with pytest.raises(RemanenceError, match=f"{name}= is one of"):
                kind(**{name: "unheard of"})
