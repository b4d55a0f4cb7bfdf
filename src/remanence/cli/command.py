"""Commands from settings dataclasses: every field of a parameter's dataclass becomes an option, listed by group."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias, Union, cast, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperOption

from remanence.core.errors import RemanenceError
from remanence.core.settings import Option, command_line, options_of

Given: TypeAlias = dict[str, Any]
"""The options that stand on the command line, by field; to all others the defaults of the job apply."""

HEADINGS = {
    "data": "Data",
    "training": "Training",
    "measuring": "Measuring",
    "machine": "Machine",
    "server": "Server (for models named api:MODEL@URL)",
    "output": "Output",
}
"""Sections of --help, in order."""


class SettingsCommand(TyperCommand):
    """A command that lists its options by group and understands deprecated names."""

    deprecated_flags: ClassVar[Mapping[str, str]] = {}
    """Deprecated option -> its name now."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Replace deprecated options, with a notice on stderr."""
        return super().parse_args(ctx, [self._current(word) for word in args])

    def _current(self, word: str) -> str:
        flag, equals, value = word.partition("=")
        new = self.deprecated_flags.get(flag)
        if new is None:
            return word
        typer.echo(f"Deprecated: {flag} is now called {new}; the old name works in this version only.", err=True)
        return f"{new}{equals}{value}"

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options by group."""
        records: dict[str, list[tuple[str, str]]] = {name: [] for name in ("Arguments", *HEADINGS.values(), "Options")}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                group = param.rich_help_panel if isinstance(param, TyperOption) else None
                heading = "Arguments" if param.param_type_name == "argument" else group or "Options"
                records[heading].append(record)
        for heading, lines in records.items():
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)


def add_command(app: typer.Typer, name: str, function: Callable[..., None]) -> None:
    """Add a function as a command of `app`.

    A parameter of the function whose type is a settings dataclass stands for the options that are the fields of the
    dataclass, and gets an instance. A parameter of type `Annotated[Given, DATACLASS]` stands for the same options, and
    gets those given on the command line. Other parameters are typer's.
    """
    own = inspect.signature(function, eval_str=True).parameters
    classes = {p.name: cls for p in own.values() if (cls := _settings_class(p.annotation)) is not None}
    options = {name: one for cls in classes.values() for name, one in options_of(cls).items()}
    assert len(options) == sum(len(options_of(cls)) for cls in classes.values()), f"{name}: an option stands twice"

    def run(ctx: typer.Context, **values: Any) -> None:
        given = {field for field in options if getattr(ctx.get_parameter_source(field), "name", "") == "COMMANDLINE"}
        with command_line():
            arguments: dict[str, Any] = {field: value for field, value in values.items() if field not in options}
            for parameter, cls in classes.items():
                chosen = {n: read_value(one, values[n]) for n, one in options_of(cls).items() if n in given}
                arguments[parameter] = cls(**chosen) if is_dataclass(own[parameter].annotation) else chosen
            function(**arguments)

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    plain = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own.values() if p.name not in classes]
    shown = [context, *plain, *map(_parameter, options.values())]
    run.__signature__ = inspect.Signature(shown)  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {p.name: p.annotation for p in shown}
    run.__doc__ = function.__doc__
    replaced = {old: one.flag for one in options.values() for old in one.old_flags}
    replaced |= {
        _negated(old): _negated(one.flag) for one in options.values() if one.type is bool for old in one.old_flags
    }
    kind = type("SettingsCommand", (SettingsCommand,), {"deprecated_flags": replaced})
    _ = app.command(name, cls=cast("type[TyperCommand]", kind))(run)


def _settings_class(annotation: Any) -> type | None:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[1]
    return annotation if isinstance(annotation, type) and is_dataclass(annotation) else None


def _negated(flag: str) -> str:
    return flag.replace("--", "--no-", 1)


def _parameter(one: Option) -> inspect.Parameter:
    """The option as a parameter that typer understands."""
    kind = _shell_type(one)
    flag = f"{one.flag}/{_negated(one.flag)}" if kind is bool and one.default is not False else one.flag
    default: Any = inspect.Parameter.empty if one.required else one.default
    shown: bool | str = True
    if isinstance(default, tuple):
        default = [_written(element) for element in cast("tuple[Any, ...]", default)] or None
        shown = True if one.split or default is None else "; ".join(default)
    elif kind is str and default not in (None, inspect.Parameter.empty):
        default = str(default)
    info = typer.Option(
        flag, help=one.help, rich_help_panel=HEADINGS[one.group], metavar=_metavar(one), show_default=shown
    )
    annotation = Annotated[kind | None if default is None else kind, info]
    return inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _shell_type(one: Option) -> Any:
    """What typer reads: text for everything that `read_value` reads further."""
    if _element_type(one) is not None:
        return list[str]
    kind = _without_none(one.type)
    has_default_and_none = kind is not one.type and one.default is not None
    return kind if kind in (int, float, bool, Path) and not has_default_and_none else str


def _without_none(hint: Any) -> Any:
    parts = [part for part in get_args(hint) if part is not type(None)]
    return parts[0] if get_origin(hint) in (Union, types.UnionType) and len(parts) == 1 else hint


def _element_type(one: Option) -> Any:
    """The type of the elements of a tuple; None for other options."""
    return get_args(one.type)[0] if get_origin(one.type) is tuple else None


def _metavar(one: Option) -> str | None:
    if one.metavar is not None:
        return one.metavar
    element = _element_type(one)
    if element is not None:
        return {int: "INT,...", float: "FLOAT,..."}.get(element, "NAME,..." if one.split else "TEXT")
    if one.choices:
        return f"[{'|'.join(map(str, one.choices))}]"
    return {int: "INT", float: "FLOAT", Path: "PATH", bool: None}.get(_without_none(one.type), "TEXT")


def _written(element: Any) -> str:
    return "x".join(map(str, element)) if isinstance(element, tuple) else str(element)


def read_value(one: Option, value: Any) -> Any:
    """What was written on the command line, as the field's type. Raises `RemanenceError` for what cannot be read."""
    element = _element_type(one)
    if element is not None:
        parts = [part.strip() for text in value for part in (text.split(",") if one.split else [text])]
        return tuple(_read(one, element, part) for part in parts if part)
    kind = _without_none(one.type)
    if isinstance(value, str) and kind is not one.type and value.lower() == "none":
        return None
    return _read(one, kind, value) if isinstance(value, str) and kind in (int, float) else value


def _read(one: Option, kind: Any, text: str) -> Any:
    """One number, name, or `COPIESxROWS`."""
    try:
        if get_origin(kind) is tuple:
            values = tuple(int(part) for part in text.split("x"))
            assert len(values) == len(get_args(kind))
            return values
        return kind(text) if kind in (int, float) else text
    except (ValueError, AssertionError):
        example = ",".join(map(_written, one.default if isinstance(one.default, tuple) else ())) or "1,2"
        words = {int: "whole numbers", float: "numbers"}.get(kind, one.metavar or "names")
        if _element_type(one) is None:
            raise RemanenceError(f"{one.spelled()} must be a number or none, got {text!r}.") from None
        raise RemanenceError(f"{one.spelled()} is a list of {words} like {example}, got {text!r}.") from None
