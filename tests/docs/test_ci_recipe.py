"""The recipe for GitHub Actions is YAML, and its command is one that remanence takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from remanence.cli.app import app
from remanence.engine.gates import read_rule

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ci-gate.md"


def test_the_recipe_calls_the_audit_as_it_is() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    steps: list[dict[str, Any]] = yaml.safe_load(block)["jobs"]["audit"]["steps"]
    (line,) = [step["run"] for step in steps if step.get("run", "").startswith("remanence")]
    _, verb, *arguments = shlex.split(line)
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    context = command.make_context(verb, list(arguments))
    assert read_rule(context.params["fail_if"]) == ("excess_low", ">", 0.01)
    assert str(context.params["summary"]) == "$GITHUB_STEP_SUMMARY" and str(context.params["junit"]) == "audit.xml"


def test_nothing_that_holds_training_text_is_uploaded() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    steps: list[dict[str, Any]] = yaml.safe_load(block)["jobs"]["audit"]["steps"]
    paths = next(step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", "")).split()
    assert not [path for path in paths if re.search(r"tokens|attempts|matches|^audit/?$", path)]
