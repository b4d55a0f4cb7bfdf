"""A system from its name and the values of its fields, given as Python values or as text."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from remanence.core.catalogue import Entry, entries, find
from remanence.core.errors import RemanenceError
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.scheme import SamplingScheme
from remanence.core.verbs import Attack, Measure

NONE = {"none", "null"}
WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
ATTACK = "prefix"
"""The attack of a measure that judges the answers to one, unless `attack=NAME` says otherwise."""


def build(entry: Entry, values: Mapping[str, Any]) -> Any:
    """The system with these values of its fields; `attack.tokens` is a field of the field `attack`.

    Raises `RemanenceError`, one sentence that lists what is valid, for an unknown field or a value of another type.
    """
    return _made(entry.load(), entry.cls, values)


def _made(cls: type, title: str, values: Mapping[str, Any]) -> Any:
    known = {f.name: f for f in fields(cls) if f.init}
    hints = get_type_hints(cls)
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        head, dot, rest = name.partition(".")
        head = head.replace("-", "_")
        if head not in known:
            raise RemanenceError(_unknown(title, head, list(known), hints))
        if dot:
            inner.setdefault(head, {})[rest] = value
        else:
            own[head] = value
    made = {
        name: _value(title, name, hints[name], value)
        for name, value in own.items()
        if not (name in inner or _is_attack(hints[name], value))
    }
    for name in {*inner, *(n for n, value in own.items() if _is_attack(hints[n], value))}:
        made[name] = _inner(title, name, hints[name], own.get(name), inner.get(name, {}), known[name])
    for name, field in known.items():
        if name not in made and field.default is MISSING and field.default_factory is MISSING:
            if not _takes(hints[name], Attack):
                raise RemanenceError(f"{title} needs {name}: add --set {name}=VALUE.")
            made[name] = build(find(ATTACK, ["Attack"]), {})
    try:
        return cls(**made)
    except RemanenceError:
        raise
    except (TypeError, ValueError) as error:
        raise RemanenceError(f"{title} cannot be made of these values: {str(error).rstrip('.')}.") from error


def _inner(title: str, name: str, hint: Any, chosen: Any, values: Mapping[str, Any], field: Field[Any]) -> Any:
    """A field that is a system or a dataclass itself."""
    if _takes(hint, Attack):
        entry = find(str(chosen or ATTACK), ["Attack"])
        return _made(entry.load(), f"{name} ({entry.cls})", values)
    kinds = [kind for kind in _kinds(hint) if is_dataclass(kind)]
    if not kinds:
        raise RemanenceError(f"{name} of {title} has no fields of its own: write {name}=VALUE.")
    before = chosen if chosen is not None else None if field.default is MISSING else field.default
    if before is None and field.default_factory is not MISSING:
        before = field.default_factory()
    kept = {f.name: getattr(before, f.name) for f in fields(before)} if is_dataclass(before) else {}
    return _made(cast("type", kinds[0]), f"{title}.{name}", {**kept, **values})


def _is_attack(hint: Any, value: Any) -> bool:
    return _takes(hint, Attack) and isinstance(value, str)


def _takes(hint: Any, kind: type) -> bool:
    return any(isinstance(one, type) and issubclass(one, kind) for one in _kinds(hint))


def _kinds(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _unknown(title: str, name: str, known: Sequence[str], hints: Mapping[str, Any]) -> str:
    if not known:
        return f"{title} has no parameter {name!r}: it has none at all."
    for field in known:
        inner = [kind for kind in _kinds(hints[field]) if is_dataclass(kind)]
        if any(name in {f.name for f in fields(cast("type", kind))} for kind in inner):
            return f"{title} has no parameter {name!r}: write {field}.{name}."
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? It has" if near else "it has"
    return f"{title} has no parameter {name!r}: {hint} {', '.join(known)}."


def _value(title: str, name: str, hint: Any, value: Any) -> Any:
    if not isinstance(value, str) or hint is str:
        return tuple(cast("list[Any]", value)) if isinstance(value, list) else value
    problems: list[str] = []
    for kind in _kinds(hint):
        try:
            return parsed(kind, value.strip())
        except ValueError as error:
            problems.append(str(error))
    raise RemanenceError(f"{name} of {title} is {' or '.join(dict.fromkeys(problems))}, got {value!r}.")


def parsed(kind: Any, text: str) -> Any:
    """Text as a value of a type. Raises ValueError with what such a value is."""
    if kind is type(None):
        if text.lower() in NONE:
            return None
        raise ValueError("none")
    if kind is bool:
        if text.lower() in WORDS:
            return WORDS[text.lower()]
        raise ValueError("true or false")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("a whole number" if kind is int else "a number") from None
    if kind is str:
        return text
    if kind is SamplingScheme:
        return SamplingScheme.parse(text)
    if get_origin(kind) is Literal:
        choices = {str(choice): choice for choice in get_args(kind)}
        if text in choices:
            return choices[text]
        raise ValueError(f"one of {', '.join(choices)}")
    if get_origin(kind) is tuple and len(get_args(kind)) == 2 and get_args(kind)[1] is Ellipsis:
        return tuple(parsed(get_args(kind)[0], part.strip()) for part in text.split(",") if part.strip())
    raise ValueError("not a value that can be written as text; use remanence.run in Python")


def assignments(given: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a dict. Raises `RemanenceError` for one without an equals sign, or given twice."""
    values: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise RemanenceError(f"--set takes NAME=VALUE, such as fraction=0.3, got {one!r}.")
        if name.strip() in values:
            raise RemanenceError(f"--set {name.strip()} is given twice.")
        values[name.strip()] = value
    return values


def parameters(system: Any) -> dict[str, Any]:
    """The fields of a system, JSON-ready, for `run.json`; rows are replaced by their fingerprint."""
    return {f.name: plain(getattr(system, f.name)) for f in fields(system)}


def plain(value: Any) -> Any:
    """A value of a field, JSON-ready."""
    if isinstance(value, SamplingScheme):
        return value.name
    if isinstance(value, Attack | Measure):
        return {"name": _name_of(value), **parameters(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return parameters(value)
    if isinstance(value, tuple | list):
        listed = list(cast("Iterable[Any]", value))
        if listed and all(isinstance(one, Record) for one in listed):
            return {"rows": len(listed), "fingerprint": data_fingerprint(listed)}
        return [plain(one) for one in listed]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)


def _name_of(system: Any) -> str:
    cls = type(system)
    return next((e.name for e in entries() if (e.module, e.cls) == (cls.__module__, cls.__name__)), cls.__name__)
