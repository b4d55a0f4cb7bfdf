"""Keyword arguments and JSON entries as settings dataclasses: signatures, docstrings, deprecated and unknown names."""

from __future__ import annotations

import difflib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from remanence.core.errors import RemanenceError
from remanence.core.settings import Option, options_of

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


def takes_settings(*classes: type, leave_out: Iterable[str] = ()) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function with `**settings` so that its signature and docstring show the fields of the dataclasses.

    Deprecated names are replaced (with a `DeprecationWarning`), and an unknown name raises `RemanenceError` with the
    nearest valid one, before the function runs. `leave_out`: fields that the function sets itself.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(function)
        listed = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {p.name for p in listed}
        added = {
            name: one for cls in classes for name, one in options_of(cls).items() if name not in {*names, *leave_out}
        }

        @functools.wraps(function)
        def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
            current = current_names(classes, kwargs, notice=True)
            for name in current:
                if name not in added and name not in names:
                    raise RemanenceError(no_such_argument(name, [*added, *names]))
            return function(*args, **current)  # pyright: ignore[reportCallIssue]

        shown = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(one), annotation=one.type)
                 for name, one in added.items()]  # fmt: skip
        with_settings.__signature__ = own.replace(parameters=[*listed, *shown])  # pyright: ignore
        with_settings.__doc__ = f"{inspect.getdoc(function) or ''}\n\n{settings_text(added.values())}"
        return with_settings

    return decorate


def settings_text(listed: Iterable[Option]) -> str:
    """The section of a docstring about settings: name, default and help text of each."""
    lines = [
        f"    {one.name} ({'required' if one.required else f'default {one.default!r}'}): {one.help}" for one in listed
    ]
    return "\n".join(["Settings:", *lines])


def _default(one: Option) -> Any:
    return inspect.Parameter.empty if one.required else one.default


def no_such_argument(name: str, known: Iterable[str]) -> str:
    """The sentence about an unknown keyword argument, with the nearest that exists."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"There is no argument {name}=: " + (
        f"did you mean {near[0]}=?" if near else f"choose from {', '.join(known)}."
    )


def current_names(classes: Iterable[type], values: Mapping[str, Any], *, notice: bool) -> dict[str, Any]:
    """The values with deprecated names replaced, with a warning if `notice`.

    Raises `RemanenceError` where both the old and the new name are given.
    """
    replaced = {old: one.name for cls in classes for one in options_of(cls).values() for old in one.old_names}
    current: dict[str, Any] = {}
    for name, value in values.items():
        new = replaced.get(name, name)
        if new != name and new in values:
            raise RemanenceError(f"{name}= is the old name of {new}=: give one of the two.")
        if new != name and notice:
            warnings.warn(f"{name}= is deprecated: write {new}= instead.", DeprecationWarning, stacklevel=3)
        current[new] = value
    return current


def fields_of(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of a settings dataclass."""
    return {name: value for name, value in values.items() if name in options_of(cls)}


def to_json(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass, JSON-ready: tuples as lists, paths as text."""
    return {f.name: _listed(getattr(settings, f.name)) for f in fields(settings)}


def from_json(cls: type[T], values: Mapping[str, Any]) -> T:
    """The settings of a `run.json`; those of an earlier version, with deprecated names, are read too.

    Raises `RemanenceError` for an entry that is no field.
    """
    current = current_names((cls,), values, notice=False)
    for name in current:
        if name not in options_of(cls):
            raise RemanenceError(no_such_argument(name, options_of(cls)))
    return cls(**{name: _tupled(value) for name, value in current.items()})


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_listed(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(v) for v in value) if isinstance(value, list) else value
