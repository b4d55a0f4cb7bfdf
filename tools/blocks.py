"""The code blocks of the manual: which there are, what the commands in them really print, and what in them is wrong.

- ```console blocks are transcripts. Commands that answer at once (`--help`, `list`, misuse) are run here. A block under
  the comment `<!-- output of: FILE -->` is copied from that file, where `reference.py --record` keeps long ones.
- ```sh blocks are for readers to run: every `remanence` line in them must be a command, with options that exist.
- ```python blocks must compile, import what exists, and pass settings that `remanence.audit` knows.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import os
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

ROOT = Path(__file__).resolve().parents[1]
PENDING = "(pending: not recorded yet; run `python tools/reference.py --record`)"
"""What a recorded block says as long as the file of recordings is not there."""
QUICK = {"list", "show"}
"""Verbs that are run without being asked for help."""

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- output of: (\S+) -->\n+$")
_TITLE = re.compile(r'title="([^"]+)"')


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    title: str
    body: str
    start: int
    """Place of the body in the page, characters."""
    recorded: str | None
    """The file that holds its output; None for a block that is run."""


def blocks(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in _FENCE.finditer(text):
        mark, title = _MARK.search(text, 0, found.start()), _TITLE.search(found[2])
        yield Block(
            page,
            text.count("\n", 0, found.start()) + 1,
            found[1],
            title[1] if title else "",
            found[3],
            found.start(3),
            mark[1] if mark else None,
        )


def commands(body: str) -> list[tuple[str, str]]:
    """(command, output) of a transcript; a command ends with its line unless that ends in a backslash."""
    found: list[tuple[str, list[str]]] = []
    lines = iter(body.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            found.append((command, []))
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(output).strip("\n")) for command, output in found]


def transcript(parts: list[tuple[str, str]]) -> str:
    """The body of a console block."""
    return "".join(f"$ {command}\n" + (f"{output}\n" if output else "") for command, output in parts)


def fresh(block: Block, recordings: Mapping[str, str] | None) -> str:
    """The body of a console block as it ought to be; `recordings` is None while there is no file of them."""
    if block.recorded is not None:
        if recordings is None:
            return transcript([(command, PENDING) for command, _ in commands(block.body)])
        return transcript([(c, recordings.get(c, PENDING)) for c, _ in commands(block.body)])
    out: list[tuple[str, str]] = []
    code = 0
    for command, said in commands(block.body):
        if command == "echo $?":
            out.append((command, str(code)))
        elif runs_here(command, said):
            code, answer = run(command)
            out.append((command, answer))
        else:
            out.append((command, said))
    return transcript(out)


def runs_here(command: str, said: str) -> bool:
    """Whether a command answers at once: help, a list, or misuse, which is refused before anything is loaded."""
    words = shlex.split(command)
    if words[:1] != ["remanence"]:
        return False
    misuse = any(line.startswith(("remanence: ", "Error: ")) for line in said.splitlines())
    return len(words) == 1 or "--help" in words or words[1] in QUICK or misuse


def run(command: str) -> tuple[int, str]:
    """(exit code, what it prints on stdout and stderr) of a `remanence` command, in this process, 80 columns wide."""
    from remanence.cli.app import main

    said = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    before, width, code = sys.argv, os.environ.get("COLUMNS"), 0
    sys.argv, os.environ["COLUMNS"] = shlex.split(command), "80"
    started_as, caller = getattr(sys.modules["__main__"], "__package__", None), sys.modules["__main__"]
    caller.__package__ = None  # else usage lines would name what this process was started as, like `python -m pytest`
    try:
        with contextlib.chdir(ROOT), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv, caller.__package__ = before, started_as
        _ = os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)
    said.seek(0)
    return code, said.read().strip("\n")


def faults(block: Block, shown: Collection[str] = ()) -> Iterator[str]:
    """What is wrong with a block, one sentence each; `shown` are files that the page itself writes down."""
    where = f"{block.page}:{block.line}"
    if block.language in {"sh", "console"}:
        lines = [c for c, _ in commands(block.body)] if block.language == "console" else _joined(block.body)
        for line in lines:
            yield from (f"{where}: {fault}" for fault in _command_faults(line))
    if block.language == "console" and block.recorded is None:
        for command, said in commands(block.body):
            if command != "echo $?" and not runs_here(command, said):
                yield f"{where}: `{command}` takes long; put <!-- output of: FILE --> above the block."
    if block.language == "python":
        yield from (f"{where}: {fault}" for fault in _python_faults(block.body, shown))


def _joined(body: str) -> list[str]:
    """Commands of a shell block: backslashes joined, comments and blank lines left out."""
    lines = body.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _command_faults(line: str) -> Iterator[str]:
    import typer

    from remanence.cli.app import app

    words = shlex.split(line.replace("\\\n", " "), comments=True)
    if words[:1] != ["remanence"] or len(words) == 1 or words[1].startswith("-"):
        return
    command, called = cast("Any", typer.main.get_command(app)), "remanence"
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):  # a group, such as canaries
        called = f"{called} {rest[0]}"
        if rest[0] not in command.commands:
            yield f"there is no command `{called}`."
            return
        command, rest = command.commands[rest[0]], rest[1:]
    known = {"--help"} | {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            yield f"`{called}` has no option {option}."


def _python_faults(body: str, shown: Collection[str]) -> Iterator[str]:
    try:
        tree = ast.parse(body)
    except SyntaxError as error:
        yield f"does not compile ({error.msg}, line {error.lineno} of the block)."
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "remanence":
            if f"src/{str(node.module).replace('.', '/')}.py" in shown:
                continue
            try:
                module = importlib.import_module(str(node.module))
            except ImportError as error:
                yield f"cannot import {node.module} ({error})."
                continue
            yield from (f"{node.module} has no {a.name}." for a in node.names if not hasattr(module, a.name))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"remanence.audit", "audit"}:
            yield from (f"remanence.audit knows no {k.arg}." for k in node.keywords if k.arg not in audit_arguments())


def audit_arguments() -> set[str]:
    """Everything that can be passed to `remanence.audit` by name."""
    from remanence.jobs.api import audit
    from remanence.jobs.audit.settings import AuditSettings

    return set(inspect.signature(audit).parameters) | set(AuditSettings.__dataclass_fields__)
