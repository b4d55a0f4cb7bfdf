"""The catalogue is the file tree: every system is a file whose header names it, and nothing has to be registered.

Headers are read as text, so nothing is imported and torch stays out.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

VERBS = {
    "measure": "Measure",
    "explain": "Measure",
    "attack": "Attack",
    "mitigate": "Mitigation",
    "memory": "Mitigation",
    "benchmarks": "Benchmark",
    "replications": "Claim",
}
"""Wing (folder of the package) -> verb."""


@dataclass(frozen=True)
class Entry:
    """One system of the catalogue."""

    name: str
    """The file's name."""
    verb: str
    wing: str
    """Folder, such as measure/likelihood."""
    title: str
    """The name that the header gives it."""
    caption: str
    """The header's sentence."""
    paper: str
    cls: str
    """Its class."""
    needs: str
    """What its target must be able to do: Generates, Scores, Opens, or a plain word of its own."""


def entries(root: Path | None = None) -> list[Entry]:
    """All systems, by wing and name: files whose header has a `Paper:` line and a class that can be called."""
    root = root or Path(__file__).resolve().parents[1]
    found: list[Entry] = []
    for wing, verb in VERBS.items():
        for path in sorted((root / wing).rglob("*.py")):
            entry = _read(path, root, verb)
            if entry is not None:
                found.append(entry)
    return found


def _read(path: Path, root: Path, verb: str) -> Entry | None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    header = ast.get_docstring(tree) or ""
    first, _, rest = header.partition("\n")
    title, colon, caption = first.partition(": ")
    paper = next((block for block in rest.split("\n\n") if block.strip().startswith("Paper:")), "")
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and _is_system(node)]
    if not (colon and paper and classes):
        return None
    return Entry(
        name=path.stem,
        verb=verb,
        wing=path.parent.relative_to(root).as_posix(),
        title=title,
        caption=caption,
        paper=" ".join(paper.split()).removeprefix("Paper: "),
        cls=classes[0].name,
        needs=_needs(classes[0]),
    )


def _is_system(node: ast.ClassDef) -> bool:
    """A measure of the token table, or a class that is called with a target or a seed."""
    return _of_table(node) or _asks(node) is not None


def _of_table(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) == "TableMeasure" for base in node.bases)


def _asks(node: ast.ClassDef) -> ast.arg | None:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__call__" and len(member.args.args) > 1:
            first = member.args.args[1]
            return first if first.arg in {"target", "seed"} else None
    return None


def _needs(node: ast.ClassDef) -> str:
    if _of_table(node):
        has_base = any(isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "needs_base" for n in node.body)
        return "Scores, and a base model" if has_base else "Scores"
    first = _asks(node)
    if first is None or first.annotation is None or first.arg == "seed":
        return "nothing: it makes its own model and data"
    return ast.unparse(first.annotation)
