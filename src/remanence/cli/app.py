"""The command line: `remanence COMMAND`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys

import typer

from remanence.cli import audit, canaries, finetune, forget, match, preflight, replicate, runs, study, systems
from remanence.cli.command import add_command
from remanence.core.errors import RemanenceError

app = typer.Typer(
    help="What did a fine-tuned language model memorize of its training rows, and is that more than chance?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
canaries_app = typer.Typer(
    help="Plant made-up rows with a secret among yours, and measure how well a model remembers them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

COMMANDS = {
    "audit": audit.audit,
    "match": match.match,
    "forget": forget.forget,
    "study": study.study,
    "finetune": finetune.finetune,
    "preflight": preflight.preflight,
    "demo": audit.demo,
    "report": runs.report,
    "score": runs.score,
    "compare": runs.compare,
    "list": systems.list_systems,
    "show": systems.show,
    "run": systems.run,
    "replicate": replicate.replicate,
}
"""In the order of --help."""
CANARIES = {"make": canaries.make, "plant": canaries.plant, "audit": canaries.audit, "remove": canaries.remove}

for name, command in COMMANDS.items():
    add_command(app, name, command)
for name, command in CANARIES.items():
    add_command(canaries_app, name, command)
app.add_typer(canaries_app, name="canaries")

INTERRUPTED = 130
"""Exit code that typer makes of Ctrl-C."""


def main() -> None:
    """Run the command line; bad input ends with one sentence on stderr and exit code 2."""
    try:
        app()
    except RemanenceError as error:
        typer.echo(f"remanence: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo(
                "remanence: interrupted; run the same command with --resume to continue. Measurements are kept; a "
                "training starts again.",
                err=True,
            )
        raise


if __name__ == "__main__":
    main()
