"""The code that an experiment consists of: its file and every file of the package that it imports, directly or not.

Its hash says whether figures could have changed since they were measured. Comments, formatting and docstrings do not
change it.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "remanence"
ROOT = Path(__file__).resolve().parents[2]


def code_hash(module: str, root: Path = ROOT) -> str:
    """16 hexadecimal digits over the code of a module of the package and of all that it imports."""
    text = "\n".join(f"{name} {_read(name, root)[0]}" for name in sorted(imported(module, root)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def imported(module: str, root: Path = ROOT) -> set[str]:
    """Dotted names of the module and of every module of the package that it imports, inside functions too."""
    found, waiting = {module}, [module]
    while waiting:
        new = set(_read(waiting.pop(), root)[1]) - found
        found |= new
        waiting += new
    return found


@cache
def _read(module: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """The code of a module without its docstrings, and the modules of the package that it imports."""
    path = _path(module, root)
    assert path is not None, f"{module} is not a file of {root}"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = tuple(dict.fromkeys(_imports(tree, root)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [n for n in body if not _is_docstring(n)]  # type: ignore[attr-defined]
    return ast.dump(tree), imports


def _imports(tree: ast.Module, root: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == PACKAGE and _path(name, root) is not None)


def _path(module: str, root: Path) -> Path | None:
    place = root.joinpath(*module.split(".")[1:])
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
