"""Old keyword arguments of mitigations, from before training parameters were one field; they work for one version."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)


def accepts_old_keywords(**renamed: str) -> Callable[[Class], Class]:
    """Decorator of a dataclass with a field `training`: parameters of the training are accepted as keywords too.

    `renamed`: old keyword=new field. Each old keyword gives a `DeprecationWarning`.
    """

    def decorate(cls: Class) -> Class:
        original: Callable[..., None] = cls.__init__
        own = {field.name: field for field in fields(cls)}
        default: Any = own["training"].default
        moved = {field.name for field in fields(default)} - own.keys()

        @functools.wraps(original)
        def init(self: Any, *args: Any, **given: Any) -> None:
            training = {name: given.pop(name) for name in sorted(moved & given.keys())}
            others = {new: given.pop(old) for old, new in renamed.items() if old in given}
            if training:
                given["training"] = replace(given.get("training", default), **training)
            if training or others:
                old = [*training, *(name for name, new in renamed.items() if new in others)]
                warnings.warn(_message(cls.__name__, old, renamed), DeprecationWarning, stacklevel=2)
            original(self, *args, **given, **others)

        cls.__init__ = init
        return cls

    return decorate


def _message(name: str, old: list[str], renamed: dict[str, str]) -> str:
    words = [f"{key} is now called {renamed[key]}" if key in renamed else f"{key} is now training.{key}" for key in old]
    return f"{name}: {', '.join(words)}."


def renamed_class(module: str, name: str, old: str, new: type) -> type:
    """For a module's `__getattr__`: the class under its old name, with a `DeprecationWarning`."""
    if name != old:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    warnings.warn(f"{old} is now called {new.__name__}", DeprecationWarning, stacklevel=3)
    return new
