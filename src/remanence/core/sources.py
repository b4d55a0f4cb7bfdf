"""Classes of the package as their source text declares them: bases, fields and annotations, without importing a file.

Bases are followed through `from ... import` statements into other files of the package, so that `class NPO(Steps)` is
seen to be whatever `Steps` is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "remanence"
HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Parameter:
    """A field of a dataclass."""

    name: str
    type: str
    default: str | None
    """As the source writes it, constants replaced by their values; None = it must be given."""
    text: str
    """Its docstring, on one line."""


@dataclass(frozen=True)
class Declared:
    """A class where its file declares it."""

    module: str
    node: ast.ClassDef

    @property
    def is_dataclass(self) -> bool:
        """Whether `@dataclass` stands above it."""
        return any(ast.unparse(d).split("(")[0].endswith("dataclass") for d in self.node.decorator_list)


@dataclass
class Sources:
    """The files of a package folder; files that are not there are looked up in the installed package."""

    root: Path
    _trees: dict[str, ast.Module | None] = field(default_factory=dict[str, "ast.Module | None"])

    def tree(self, module: str) -> ast.Module | None:
        """The syntax tree of a module such as `remanence.core.verbs`; None for one that is not of the package."""
        if module not in self._trees:
            self._trees[module] = self._read(module)
        return self._trees[module]

    def _read(self, module: str) -> ast.Module | None:
        first, *rest = module.split(".")
        if first != PACKAGE:
            return None
        for root in (self.root, HERE):
            place = root.joinpath(*rest)
            for path in (place.with_suffix(".py"), place / "__init__.py"):
                if rest and path.is_file():
                    return ast.parse(path.read_text(encoding="utf-8"))
        return None

    def find(self, module: str, name: str) -> Declared | None:
        """The class that a name stands for in a module, followed through imports."""
        found = self._resolve(module, name)
        if found is None or not isinstance(found[1], ast.ClassDef):
            return None
        return Declared(found[0], found[1])

    def _resolve(self, module: str, name: str, depth: int = 0) -> tuple[str, ast.AST] | None:
        """Where a top-level name is defined, and the class or value that defines it."""
        tree = self.tree(module)
        if tree is None or depth > 10:
            return None
        for node in _top_level(tree):
            if isinstance(node, ast.ClassDef) and node.name == name:
                return module, node
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self._resolve(_absolute(node, module), alias.name, depth + 1)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return module, node.value
        return None

    def lineage(self, declared: Declared) -> list[Declared]:
        """The class and the bases that the package declares, nearest first, each once."""
        found = [declared]
        for base in declared.node.bases:
            name = ast.unparse(base).split("[")[0]
            above = self.find(declared.module, name)
            if above is not None:
                found += [one for one in self.lineage(above) if one not in found]
        return found

    def member(self, lineage: list[Declared], name: str) -> ast.stmt | None:
        """The nearest method or class attribute of this name."""
        for declared in lineage:
            for node in declared.node.body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    return node
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    return node
        return None

    def parameters(self, lineage: list[Declared]) -> tuple[Parameter, ...]:
        """The fields of a dataclass, those of its bases first, as `dataclasses.fields` orders them."""
        found: dict[str, Parameter] = {}
        for declared in reversed(lineage):
            if declared.is_dataclass:
                for parameter in self._own(declared):
                    inherited = found.get(parameter.name)
                    text = parameter.text or (inherited.text if inherited else "")
                    found[parameter.name] = Parameter(parameter.name, parameter.type, parameter.default, text)
        return tuple(found.values())

    def _own(self, declared: Declared) -> Iterator[Parameter]:
        body = declared.node.body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
                continue
            if ast.unparse(node.annotation).startswith(("ClassVar", "KW_ONLY")):
                continue
            kind = ast.unparse(self._spelled_out(declared.module, node.annotation))
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            default = None if node.value is None else self._default(declared.module, node.value)
            yield from self._inner(declared.module, node) or (
                Parameter(node.target.id, kind, default, " ".join(str(text).split())),
            )

    def _inner(self, module: str, node: ast.AnnAssign) -> tuple[Parameter, ...]:
        """The fields of a field that is a dataclass, such as `training.epochs`; none for any other field."""
        assert isinstance(node.target, ast.Name)
        made = node.value
        inner = self.find(module, node.annotation.id) if isinstance(node.annotation, ast.Name) else None
        if inner is None or not inner.is_dataclass or not isinstance(made, ast.Call):
            return ()
        given = {k.arg: self._default(module, k.value) for k in made.keywords}
        return tuple(
            Parameter(f"{node.target.id}.{p.name}", p.type, given.get(p.name, p.default), p.text)
            for p in self.parameters(self.lineage(inner))
        )

    def _spelled_out(self, module: str, annotation: ast.expr) -> ast.expr:
        """An annotation with the names of `Literal` types replaced by what they list."""
        if isinstance(annotation, ast.BinOp):
            sides = [self._spelled_out(module, side) for side in (annotation.left, annotation.right)]
            return ast.BinOp(sides[0], annotation.op, sides[1])
        found = self._resolve(module, annotation.id) if isinstance(annotation, ast.Name) else None
        value = found[1] if found is not None else None
        return value if isinstance(value, ast.Subscript) and ast.unparse(value.value) == "Literal" else annotation

    def _default(self, module: str, value: ast.expr) -> str | None:
        """A default as it reads in a manual; None where `field(...)` gives none."""
        if isinstance(value, ast.Name):
            found = self._resolve(module, value.id)
            if found is not None and isinstance(found[1], ast.Constant):
                return ast.unparse(found[1])
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "option":
            return self._default(module, value.args[0])
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
            given = {k.arg: k.value for k in value.keywords}
            if "default" in given:
                return self._default(module, given["default"])
            factory = given.get("default_factory")
            if factory is None:
                return None
            return {"dict": "{}", "list": "[]"}.get(
                re.sub(r"\[.*", "", ast.unparse(factory)), f"{ast.unparse(factory)}()"
            )
        return ast.unparse(value)


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements of a module, those under `if TYPE_CHECKING:` included."""
    for node in tree.body:
        if isinstance(node, ast.If):
            yield from node.body
        else:
            yield node


def _absolute(node: ast.ImportFrom, module: str) -> str:
    if not node.level:
        return node.module or ""
    package = module.split(".")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])
