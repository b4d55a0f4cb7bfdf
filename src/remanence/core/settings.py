"""Settings: dataclasses whose fields are command-line options, keyword arguments in Python and entries of `run.json`.

    @dataclass(frozen=True)
    class AuditSettings:
        new_tokens: int = option(24, least=1)
        \"\"\"Number of tokens that the model must reproduce after the prefix.\"\"\"
        loss_on: Literal["auto", "all"] = option("auto", group="data", old=("loss",))
        \"\"\"Tokens that carried loss in training.\"\"\"

        def __post_init__(self) -> None:
            check_settings(self)

The docstring below a field is its help text, its type the option's type, and `Literal` types give the choices.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from remanence.core.errors import RemanenceError

Group = Literal["data", "training", "measuring", "machine", "server", "output"]
"""Section of `--help` that an option is listed in."""

T = TypeVar("T")
_KEY = "remanence.option"
_on_command_line: ContextVar[bool] = ContextVar("on_command_line", default=False)


@dataclass(frozen=True)
class Option:
    """One setting, as the command line, the Python functions and the manual present it."""

    name: str
    """Field of the dataclass and keyword argument in Python."""
    type: Any
    default: Any
    """`dataclasses.MISSING` for a required option."""
    help: str
    group: Group
    flag: str
    """Option of the command line, such as `--new-tokens`."""
    old: tuple[str, ...] = ()
    """Deprecated names: fields (which are deprecated options too), or options alone, which begin with dashes."""
    least: float | None = None
    """Smallest value allowed; `above` excludes its bound. Likewise `most` and `below`."""
    above: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    nonempty: bool = False
    """Whether an empty tuple is refused."""
    split: bool = True
    """Whether the command line splits a value of a tuple at commas."""
    metavar: str | None = None

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is MISSING

    @property
    def old_flags(self) -> tuple[str, ...]:
        """Deprecated options of the command line."""
        return tuple(old if old.startswith("--") else flag_of(old) for old in self.old)

    @property
    def old_names(self) -> tuple[str, ...]:
        """Deprecated field names."""
        return tuple(old for old in self.old if not old.startswith("--"))

    def spelled(self, value: Any = None) -> str:
        """The option as the caller writes it; see `spelled`."""
        return spelled(self.name, value, flag=self.flag)


def option(
    default: T,
    *,
    group: Group = "measuring",
    name: str | None = None,
    old: tuple[str, ...] = (),
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    choices: tuple[Any, ...] = (),
    nonempty: bool = False,
    split: bool = True,
    metavar: str | None = None,
) -> T:
    """A field of a settings dataclass. Bounds and `choices` apply to every element of a tuple.

    `name`: the option where it is not the field's name with dashes. `old`: deprecated names that keep working for one
    version. `least`, `most`: bounds that are allowed values; `above`, `below`: bounds that are not. `nonempty`: refuse
    an empty tuple. `split`: whether the command line splits a value at commas (a tuple's option may also be repeated).
    """
    details: dict[str, Any] = {
        "group": group, "flag": name, "old": old, "least": least, "above": above, "most": most, "below": below,
        "choices": choices, "nonempty": nonempty, "split": split, "metavar": metavar,
    }  # fmt: skip
    return field(default=default, metadata={_KEY: details})


def required(*, group: Group = "data", name: str | None = None, metavar: str | None = None) -> Any:
    """A field of a settings dataclass without a default."""
    return field(metadata={_KEY: {"group": group, "flag": name, "metavar": metavar}})


@functools.cache
def options_of(cls: type) -> dict[str, Option]:
    """The options of a settings dataclass by field name, in the order of its fields."""
    hints, texts = get_type_hints(cls), _docstrings(cls)
    return {f.name: _option(f, hints[f.name], texts.get(f.name, "")) for f in fields(cls) if f.init}


def _option(declared: Field[Any], hint: Any, text: str) -> Option:
    details: Mapping[str, Any] = declared.metadata.get(_KEY, {})
    default = declared.default if declared.default_factory is MISSING else declared.default_factory()
    named: dict[str, Any] = {"group": "measuring", "flag": flag_of(declared.name)} | {
        k: v for k, v in details.items() if v is not None
    }
    named["choices"] = named.get("choices") or _literals(hint)
    return Option(name=declared.name, type=hint, default=default, help=text, **named)


def _literals(hint: Any) -> tuple[Any, ...]:
    """The values of a `Literal` type, also as an element of a tuple; none for a type that allows others as well."""
    parts = [part for part in get_args(hint) if part not in (type(None), Ellipsis)]
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, types.UnionType, tuple) and len(parts) == 1:
        return _literals(parts[0])
    return ()


def _docstrings(cls: type) -> dict[str, str]:
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts |= _module_docstrings(base.__module__).get(base.__qualname__, {})
    return texts


@functools.cache
def _module_docstrings(module: str) -> dict[str, dict[str, str]]:
    """{class: {field: docstring}} of a module, from its source."""
    if module == "builtins":
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: field_docstrings(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def field_docstrings(node: ast.ClassDef) -> dict[str, str]:
    """The string literal below each annotated field of a class, on one line."""
    texts: dict[str, str] = {}
    for statement, following in zip(node.body, node.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                texts[statement.target.id] = " ".join(value.value.split())
    return texts


# -------------------------------------------------------------------------------------------------------- messages


@contextmanager
def command_line() -> Generator[None]:
    """While this is active, messages name options as the command line does."""
    token = _on_command_line.set(True)
    try:
        yield
    finally:
        _on_command_line.reset(token)


def flag_of(name: str) -> str:
    """`new_tokens` as `--new-tokens`."""
    return f"--{name.replace('_', '-')}"


def spelled(name: str, value: Any = None, *, flag: str | None = None) -> str:
    """An option as the caller writes it: `--new-tokens` on the command line, `new_tokens=` in Python.

    With a value: `--new-tokens 24` or `new_tokens=24`, `--resume` or `resume=True`.
    """
    if not _on_command_line.get():
        return f"{name}=" if value is None else f"{name}={value!r}"
    flag = flag or flag_of(name)
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return flag if value is None else f"{flag} {value}"


def check_settings(settings: Any) -> None:
    """Check the bounds and choices that the fields declare. Raises `RemanenceError`, one sentence."""
    for one in options_of(type(settings)).values():
        value = getattr(settings, one.name)
        if one.nonempty and not value:
            example = f", for example {as_text(one.default)}" if one.default not in (MISSING, ()) else ""
            raise RemanenceError(f"{one.spelled()} needs at least one value{example}.")
        for element in value if isinstance(value, tuple | list) else () if value is None else (value,):
            _check(one, element)


def _check(one: Option, value: Any) -> None:
    if one.choices and value not in one.choices:
        words = "may contain" if get_origin(one.type) is tuple else "is one of"
        raise RemanenceError(f"{one.spelled()} {words} {', '.join(map(str, one.choices))}, got {value!r}.")
    bounds = (one.least, one.above, one.most, one.below)
    if any(bound is not None for bound in bounds):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise RemanenceError(f"{one.spelled()} must be a number, got {value!r}.")
        if not _within(float(value), *bounds):
            raise RemanenceError(f"{one.spelled()} must be {range_text(one)}, got {value}.")


def _within(value: float, least: float | None, above: float | None, most: float | None, below: float | None) -> bool:
    return (
        (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )


def range_text(one: Option) -> str:
    """The values that an option allows: `at least 1`, `above 0 and at most 1`; empty without bounds."""
    named = (("at least", one.least), ("above", one.above), ("at most", one.most), ("below", one.below))
    return " and ".join(f"{words} {bound:g}" for words, bound in named if bound is not None)


def as_text(value: Any) -> str:
    """A value as it is written on the command line: `0,8,16`."""
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
