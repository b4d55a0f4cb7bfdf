"""Settings dataclasses are options, keyword arguments and JSON: read from one declaration."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from remanence.core.errors import RemanenceError
from remanence.core.keywords import current_names, fields_of, from_json, takes_settings, to_json
from remanence.core.settings import as_text, check_settings, command_line, option, options_of, required, spelled


@dataclass(frozen=True)
class Sampling:
    """Settings of a made-up command."""

    tokens: int = option(24, least=1, old=("length",))
    """Number of tokens
    to generate."""
    share: float = option(0.5, above=0, most=1)
    """Share of rows."""
    loss_on: Literal["all", "completion"] = option("all", group="data")
    """Tokens that carry loss."""
    splits: tuple[int, ...] = option((0, 8), least=0, nonempty=True)
    """Prefix lengths."""
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    schemes: tuple[str, ...] = option(("T=1",), name="--scheme", old=("--sampling",), split=False)
    limit: int | None = option(None, least=1, group="machine")
    """Most rows; None = all."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Derived(Sampling):
    tokens: int = option(12, least=1)
    data: Path = required(group="data")
    """The rows."""


def test_an_option_is_read_from_the_field_and_the_docstring_below_it() -> None:
    tokens = options_of(Sampling)["tokens"]
    assert (tokens.flag, tokens.type, tokens.default, tokens.group) == ("--tokens", int, 24, "measuring")
    assert tokens.help == "Number of tokens to generate."
    assert options_of(Sampling)["loss_on"].choices == ("all", "completion")
    assert options_of(Sampling)["kinds"].choices == ("a", "b"), "of the elements"
    assert options_of(Sampling)["limit"].choices == () and options_of(Sampling)["limit"].group == "machine"
    assert Sampling.tokens == 24, "the default is an attribute of the class, as for any dataclass"


def test_a_deprecated_field_is_a_deprecated_option_too() -> None:
    assert (options_of(Sampling)["tokens"].old_names, options_of(Sampling)["tokens"].old_flags) == (
        ("length",),
        ("--length",),
    )
    schemes = options_of(Sampling)["schemes"]
    assert (schemes.flag, schemes.old_names, schemes.old_flags) == ("--scheme", (), ("--sampling",))


def test_a_derived_class_has_the_options_of_its_base() -> None:
    derived = options_of(Derived)
    assert list(derived)[-1] == "data" and derived["data"].required and derived["data"].help == "The rows."
    assert derived["tokens"].default == 12 and derived["share"].help == "Share of rows."


@pytest.mark.parametrize(
    ("values", "python", "shell"),
    [
        ({"tokens": 0}, "tokens= must be at least 1, got 0.", "--tokens must be at least 1, got 0."),
        ({"tokens": "24"}, "tokens= must be a number, got '24'.", "--tokens must be a number, got '24'."),
        ({"share": 0.0}, "share= must be above 0 and at most 1, got 0.0.", "--share must be above 0 and at most 1"),
        ({"share": 1.5}, "share= must be above 0 and at most 1, got 1.5.", "--share must be above 0 and at most 1"),
        ({"share": float("nan")}, "share= must be above 0", "--share must be above 0"),
        ({"loss_on": "x"}, "loss_on= is one of all, completion, got 'x'.", "--loss-on is one of all, completion"),
        ({"kinds": ("a", "c")}, "kinds= may contain a, b, got 'c'.", "--kinds may contain a, b"),
        ({"splits": (4, -1)}, "splits= must be at least 0, got -1.", "--splits must be at least 0, got -1."),
        ({"splits": ()}, "splits= needs at least one value, for example 0,8.", "--splits needs at least one value"),
        ({"limit": 0}, "limit= must be at least 1, got 0.", "--limit must be at least 1"),
    ],
)
def test_a_bad_value_is_refused_in_the_language_of_the_caller(values: Any, python: str, shell: str) -> None:
    with pytest.raises(RemanenceError) as error:
        _ = Sampling(**values)
    assert str(error.value).startswith(python)
    with command_line(), pytest.raises(RemanenceError) as error:
        _ = Sampling(**values)
    assert str(error.value).startswith(shell)


def test_bounds_that_are_allowed_values_are_accepted() -> None:
    assert Sampling(tokens=1, share=1.0, splits=(0,), limit=None) == Sampling(1, 1.0, "all", (0,), ("a",), ("T=1",))


def test_an_option_is_spelled_as_the_caller_writes_it() -> None:
    assert [spelled("new_tokens"), spelled("new_tokens", 3), spelled("resume", True), spelled("out", "a")] == [
        "new_tokens=", "new_tokens=3", "resume=True", "out='a'",
    ]  # fmt: skip
    with command_line():
        assert [spelled("new_tokens"), spelled("new_tokens", 3), spelled("resume", True), spelled("out", "a")] == [
            "--new-tokens", "--new-tokens 3", "--resume", "--out a",
        ]  # fmt: skip
        assert spelled("stream", False) == "--no-stream" and options_of(Sampling)["schemes"].spelled() == "--scheme"
    assert as_text((0, 8)) == "0,8" and as_text(0.5) == "0.5"


# ------------------------------------------------------------------ keyword arguments


@takes_settings(Sampling)
def sample(model: str, *, out: str = "run", **settings: Any) -> Sampling:
    """Sample from a model."""
    assert (model, out) == ("m", "run")
    return Sampling(**fields_of(Sampling, settings))


def test_a_function_shows_the_settings_that_it_takes() -> None:
    shown = inspect.signature(sample).parameters
    assert list(shown) == ["model", "out", *options_of(Sampling)]
    assert shown["tokens"].default == 24 and shown["tokens"].kind is inspect.Parameter.KEYWORD_ONLY
    assert "tokens (default 24): Number of tokens to generate." in (sample.__doc__ or "")
    assert sample("m", tokens=3).tokens == 3


def test_an_unknown_argument_is_refused_with_the_nearest_valid_name() -> None:
    with pytest.raises(RemanenceError, match="There is no argument token=: did you mean tokens="):
        _ = sample("m", token=3)
    with pytest.raises(
        RemanenceError, match="There is no argument zzz=: choose from kinds, limit, loss_on, model, out"
    ):
        _ = sample("m", zzz=3)


def test_a_deprecated_argument_works_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="length= is deprecated: write tokens= instead") as caught:
        assert sample("m", length=3).tokens == 3
    assert caught[0].filename == __file__, "the warning names the caller's line"
    with pytest.raises(RemanenceError, match="length= is the old name of tokens=: give one of the two"):
        _ = current_names((Sampling,), {"length": 1, "tokens": 2}, notice=True)


def test_settings_survive_json_and_those_of_an_earlier_version_are_read() -> None:
    settings = Sampling(tokens=3, splits=(1, 2))
    assert to_json(settings)["splits"] == [1, 2]
    assert from_json(Sampling, to_json(settings)) == settings
    assert from_json(Sampling, {"length": 3, "splits": [1, 2]}) == settings
    with pytest.raises(RemanenceError, match="There is no argument tokns=: did you mean tokens="):
        _ = from_json(Sampling, {"tokns": 3})
