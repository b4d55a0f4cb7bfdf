"""The manual, the messages and the names use plain English and the terms of the glossary.

The lists grow: when a figurative name or phrase is replaced, add it here, so that it does not return. A folder or page
that is not yet rewritten is listed as such, and the lists of exceptions only shrink.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "remanence"
FOLDERS = ("core", "stats", "text", "measure", "explain", "models", "distributed", "attack", "report")
"""Packages whose names and strings are checked."""
NOT_YET = re.compile(r"report/(forget|study|canaries)")
"""Files of these packages that are still to be rewritten."""

NAMES = {"told", "said", "ear", "listen", "twins", "fate", "fed"}
"""Names that do not say what the value is."""

PHRASES = (
    "comes back",
    "come back",
    "whose words",
    "never saw",
    "never sees",
    "at most so many",
    "in no denominator",
    "told apart",
    "false alarm",
    "by lot",
    "hung on rounding",
    "hangs on rounding",
    "who does the work",
    "given away",
)
"""Figurative, inverted or private phrases; the glossary has the terms to use instead."""

PAGES = (
    "README.md",
    "docs/index.md",
    "docs/glossary.md",
    "docs/tutorial.md",
    "docs/concepts/extraction.md",
    "docs/concepts/limits.md",
    "docs/concepts/membership.md",
    "docs/concepts/rates.md",
    "docs/concepts/token-table.md",
    "docs/how-to/adapters-and-chats.md",
    "docs/how-to/audit.md",
    "docs/how-to/ci-gate.md",
    "docs/how-to/endpoints.md",
    "docs/how-to/finetune.md",
    "docs/how-to/match.md",
    "docs/how-to/ray.md",
    "docs/how-to/report.md",
)
"""Pages of the manual that are checked."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Name and syntax tree of every checked file."""
    for folder in FOLDERS:
        for path in sorted((SOURCE / folder).rglob("*.py")):
            name = path.relative_to(SOURCE).as_posix()
            if not NOT_YET.match(name):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of every variable, argument, function and class that a file defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name


def phrases(text: str) -> list[str]:
    """The phrases of the list that a text contains."""
    plain = " ".join(text.casefold().split())
    return [phrase for phrase in PHRASES if phrase in plain]


def test_names_say_what_the_value_is():
    wrong = [
        f"{file}:{line} {name}"
        for file, tree in sources()
        for line, name in defined(tree)
        if name.strip("_").casefold() in NAMES
    ]
    assert not wrong


def test_docstrings_and_messages_use_the_terms_of_the_glossary():
    wrong = [
        f"{file}:{node.lineno} {found}"
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := phrases(node.value))
    ]
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_pages_use_the_terms_of_the_glossary(page: str):
    assert not phrases((ROOT / page).read_text(encoding="utf-8"))


def test_the_check_finds_a_planted_phrase():
    assert phrases("It never\nsaw the row.") == ["never saw"]
    assert [name for _, name in defined(ast.parse("def f(told):\n    said = told"))] == ["f", "told", "said"]
