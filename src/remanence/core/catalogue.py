"""The catalogue is the file tree: every system is a file whose header names it, and nothing has to be registered.

A system is a class with a verb among its base classes (`remanence.core.verbs`), in a file whose header has a `Paper:`
block. Files are read as text, so nothing is imported and torch stays out.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from remanence.core.errors import RemanenceError
from remanence.core.sources import HERE, PACKAGE, Declared, Parameter, Sources

VERBS = ("Measure", "Attack", "Mitigation", "Memory", "Benchmark", "Theory", "Experiment")
"""The base classes of `remanence.core.verbs`."""
FOLDERS = ("measure", "explain", "attack", "mitigate", "memory", "benchmarks", "theory", "replications")
"""The order in which folders are listed; others follow."""
NOTHING = "nothing: it makes its own model and data"


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
    about: str = ""
    """What the header says beside the caption and the paper."""
    purpose: str = ""
    """The docstring of the class."""
    cost: str = ""
    """What using it takes: forward passes, generations, trainings."""
    parameters: tuple[Parameter, ...] = ()
    bases: tuple[str, ...] = ()
    """Names of its class and of all its base classes that the package declares."""

    def load(self) -> type:
        """The class, imported."""
        return getattr(import_module(self.module), self.cls)

    @property
    def module(self) -> str:
        """Where it is imported from."""
        return f"{PACKAGE}.{self.wing.replace('/', '.')}.{self.name}"

    @property
    def abilities(self) -> tuple[str, ...]:
        """The abilities that its target must have."""
        return () if self.needs == NOTHING else tuple(self.needs.split(",")[0].split(" | "))


def entries(root: Path | None = None, name: str = "*") -> list[Entry]:
    """All systems, by folder and name; with `name`, only those of this name."""
    root = root or HERE
    sources = Sources(root)
    found: list[Entry] = []
    for path in sorted(root.rglob(f"{name}.py"), key=lambda path: _place(path.relative_to(root))):
        text = path.read_text(encoding="utf-8")
        if "\nPaper: " in text:
            entry = _read(path, root, sources)
            if entry is not None:
                found.append(entry)
    return found


def find(name: str, verbs: Sequence[str] = VERBS, root: Path | None = None) -> Entry:
    """The system of a name, among those of these verbs; an experiment only where no other system has the name.

    Raises `RemanenceError` with the nearest names for one that there is not.
    """
    wanted = name.lower().replace("-", "_")
    found = [entry for entry in entries(root, wanted) if entry.verb in verbs] if wanted.isidentifier() else []
    if found:
        return min(found, key=lambda entry: VERBS.index(entry.verb))
    names = sorted({entry.name for entry in entries(root) if entry.verb in verbs})
    near = difflib.get_close_matches(wanted, names, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`remanence list` shows them all."
    raise RemanenceError(f"No system is called {name!r}: {hint}")


def _place(path: Path) -> tuple[int, str, str]:
    first = path.parts[0]
    return (FOLDERS.index(first) if first in FOLDERS else len(FOLDERS), path.parent.as_posix(), path.name)


def _read(path: Path, root: Path, sources: Sources) -> Entry | None:
    wing = path.parent.relative_to(root).as_posix()
    module = ".".join([PACKAGE, *path.relative_to(root).with_suffix("").parts])
    tree = sources.tree(module)
    assert tree is not None
    header = ast.get_docstring(tree) or ""
    first, _, rest = header.partition("\n")
    title, colon, caption = first.partition(": ")
    blocks = [" ".join(block.split()) for block in rest.strip().split("\n\n")]
    paper = next((block for block in blocks if block.startswith("Paper: ")), "")
    system = _system(tree, module, path.stem, sources)
    if not (colon and paper and system):
        return None
    lineage, verb = system
    return Entry(
        name=path.stem,
        verb=verb,
        wing=wing,
        title=title,
        caption=caption,
        paper=paper.removeprefix("Paper: "),
        cls=lineage[0].node.name,
        needs=_needs(lineage, sources),
        about="\n\n".join(block for block in blocks if block and block != paper),
        purpose=" ".join((ast.get_docstring(lineage[0].node) or "").split()),
        cost=_text(sources.member(lineage, "cost")),
        parameters=sources.parameters(lineage),
        bases=tuple(declared.node.name for declared in lineage),
    )


def _system(tree: ast.Module, module: str, stem: str, sources: Sources) -> tuple[list[Declared], str] | None:
    """The class of the file that has a verb: the one of the file's own name, else the last, which builds on the others.

    With its bases.
    """
    found: list[tuple[list[Declared], str]] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            lineage = sources.lineage(Declared(module, node))
            verb = next(
                (d.node.name for d in lineage if d.module == f"{PACKAGE}.core.verbs" and d.node.name in VERBS), None
            )
            if verb is not None:
                found.append((lineage, verb))
    own = [one for one in found if one[0][0].node.name.lower() == stem.replace("_", "")]
    return (own or found or [None])[-1]


def _needs(lineage: list[Declared], sources: Sources) -> str:
    call = sources.member(lineage, "__call__")
    assert isinstance(call, ast.FunctionDef), "a verb is called"
    first = call.args.args[1]
    if first.arg == "seed" or first.annotation is None:
        return NOTHING
    ability = ast.unparse(first.annotation)
    base = sources.member(lineage, "needs_base")
    compares = (
        isinstance(base, (ast.Assign, ast.AnnAssign)) and base.value is not None and ast.unparse(base.value) != "()"
    )
    return f"{ability}, and a base model" if compares else ability


def _text(node: ast.stmt | None) -> str:
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    return str(ast.literal_eval(value)) if value is not None else ""
