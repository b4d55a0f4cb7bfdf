"""Options are the fields of the settings dataclasses: none is missing, none is named that does not exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner

import remanence as package
from remanence.cli.app import app
from remanence.cli.command import HEADINGS, Given, add_command
from remanence.core.errors import RemanenceError
from remanence.core.settings import option, options_of
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.jobs.canaries.settings import CanarySettings, MakeSettings
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.match.settings import MatchSettings
from remanence.jobs.preflight.settings import PreflightSettings
from remanence.jobs.study.settings import GridSettings, StudySettings
from remanence.jobs.systems.settings import RunSettings
from remanence.models.endpoint.settings import EndpointSettings
from remanence.training.settings import FinetuneSettings

SETTINGS: dict[str, tuple[type, ...]] = {
    "audit": (AuditSettings, StreamSettings, EndpointSettings),
    "match": (MatchSettings,),
    "forget": (ForgetSettings,),
    "study": (GridSettings, StudySettings),
    "finetune": (FinetuneSettings,),
    "preflight": (PreflightSettings,),
    "run": (RunSettings, EndpointSettings),
    "canaries make": (MakeSettings,),
    "canaries audit": (CanarySettings,),
}
"""Command -> the settings of its job."""


def commands(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command of the command line with its name."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def flags(command: Any) -> set[str]:
    return {flag for param in command.params for flag in (*param.opts, *param.secondary_opts) if flag.startswith("--")}


ALL = dict(commands())


# ------------------------------------------------------------------ parity


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_an_option_with_the_same_default_and_help(name: str) -> None:
    params = {param.name: param for param in ALL[name].params}
    for cls in SETTINGS[name]:
        for field, setting in options_of(cls).items():
            param = params[field]
            assert setting.flag in param.opts and param.help == setting.help, field
            assert param.rich_help_panel == HEADINGS[setting.group]
            shown = [str(v) for v in param.default] if isinstance(param.default, list | tuple) else param.default
            if not isinstance(setting.default, tuple):
                assert str(shown) == str(setting.default), field
            elif setting.default and not isinstance(setting.default[0], tuple):
                assert shown == [str(v) for v in setting.default], field


@pytest.mark.parametrize(
    "cls",
    sorted({cls for classes in SETTINGS.values() for cls in classes}, key=lambda c: c.__name__),
    ids=lambda c: c.__name__,
)
def test_every_setting_has_a_help_text_that_is_a_sentence(cls: type) -> None:
    for field, setting in options_of(cls).items():
        assert re.fullmatch(r"[A-Z].*\.", setting.help), f"{cls.__name__}.{field}: {setting.help!r}"


OPTION = re.compile(r"(?<![\w(-])--[a-z](?:[a-z-]*[a-z])?(?![\w-])")


def options_in_strings(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every option that a string of a source file names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((node.lineno, flag) for flag in OPTION.findall(node.value))


def commands_of(path: Path) -> list[str]:
    """The commands whose messages a file of the package holds: those of its job, or all."""
    names = {"trainer": "audit"}
    folder = path.parent.name if path.parent.parent.name == "jobs" else path.stem if path.parent.name == "cli" else ""
    own = [name for name in ALL if name.split()[0] == names.get(folder, folder)]
    return own or list(ALL)


def test_every_option_that_a_message_names_is_one_of_its_command() -> None:
    root = Path(package.__file__).parent
    wrong = [
        f"{path.relative_to(root)}:{line} names {flag}"
        for path in sorted(root.rglob("*.py"))
        for line, flag in options_in_strings(path)
        if flag not in {"--help"}.union(*(flags(ALL[name]) for name in commands_of(path)))
    ]
    assert wrong == []


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "remanence", "list", "--verb", "attack"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "prefix" in done.stdout


# ------------------------------------------------------------------ a command made from dataclasses


@dataclass(frozen=True)
class Toy:
    """Settings of a made-up command."""

    prefixes: tuple[int, ...] = option((0, 8), old=("lengths",))
    """Prefix lengths."""
    doses: tuple[tuple[int, int], ...] = option(((4, 25),), metavar="COPIESxROWS")
    """Copies and rows."""
    schemes: tuple[str, ...] = option(("T=1",), name="--scheme", split=False)
    """Sampling schemes."""
    limit: int | None = option(512, group="machine")
    """Most rows."""
    quiet: bool = option(False, group="output", old=("silent",))
    """Print nothing."""
    stream: bool | None = None
    """Stream."""
    kind: Literal["a", "b"] = option("a", group="data")
    """Kind."""


@dataclass(frozen=True, kw_only=True)
class Where:
    """Options of the made-up command."""

    out: Path = Path("run")
    """Folder."""


CALLS: list[tuple[dict[str, Any], Path]] = []


def toy(settings: Annotated[Given, Toy], where: Where) -> None:
    """Do nothing."""
    CALLS.append((settings, where.out))


TOY = typer.Typer(rich_markup_mode=None)
add_command(TOY, "toy", toy)
RUN = CliRunner()


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["--prefixes", "1, 2", "--prefixes=3"], {"prefixes": (1, 2, 3)}),
        (["--doses", "2x3,4x5"], {"doses": ((2, 3), (4, 5))}),
        (["--scheme", "T=1,k=4", "--scheme", "T=2"], {"schemes": ("T=1,k=4", "T=2")}),
        (["--limit", "none"], {"limit": None}),
        (["--limit", "7", "--quiet", "--no-stream"], {"limit": 7, "quiet": True, "stream": False}),
    ],
)
def test_only_what_is_given_reaches_the_job_and_as_its_type(words: list[str], given: dict[str, Any]) -> None:
    CALLS.clear()
    result = RUN.invoke(TOY, words)
    assert result.exit_code == 0, result.output
    assert [(given, Path("run"))] == CALLS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--prefixes", "eight"], "--prefixes is a list of whole numbers like 0,8, got 'eight'."),
        (["--doses", "4"], "--doses is a list of COPIESxROWS like 4x25, got '4'."),
        (["--limit", "many"], "--limit must be a number or none, got 'many'."),
    ],
)
def test_a_value_that_cannot_be_read_is_one_sentence(words: list[str], sentence: str) -> None:
    result = RUN.invoke(TOY, words)
    assert isinstance(result.exception, RemanenceError) and str(result.exception) == sentence


@pytest.mark.parametrize(
    ("words", "given", "new"),
    [
        (["--lengths=1,2"], {"prefixes": (1, 2)}, "--lengths is now called --prefixes"),
        (["--lengths", "1"], {"prefixes": (1,)}, "--lengths is now called --prefixes"),
        (["--silent"], {"quiet": True}, "--silent is now called --quiet"),
    ],
)
def test_a_deprecated_option_works_and_says_so_on_stderr(words: list[str], given: dict[str, Any], new: str) -> None:
    CALLS.clear()
    result = RUN.invoke(TOY, words)
    assert result.exit_code == 0 and [(given, Path("run"))] == CALLS
    assert new in result.stderr and result.stdout == ""


def test_help_lists_the_options_by_group() -> None:
    text = RUN.invoke(TOY, ["--help"]).stdout
    order = [
        text.index(words) for words in ("Data:", "--kind [a|b]", "Measuring:", "--prefixes", "Machine:", "Output:")
    ]
    assert order == sorted(order) and "--lengths" not in text
