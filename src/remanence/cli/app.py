"""The command line: `remanence VERB`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys

import typer

from remanence.cli import audit, canaries, finetune, forget, match, preflight, replicate, runs, study, systems
from remanence.cli.shared import in_command_line
from remanence.core.errors import RemanenceError

app = typer.Typer(
    help="What did a fine-tuned model keep of its training rows, and is that more than chance?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
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
for name, command in COMMANDS.items():
    app.command(name)(in_command_line(command))
app.add_typer(canaries.app, name="canaries")

STOPPED = 130
"""Exit code that typer makes of Ctrl-C."""


def main() -> None:
    """Run the command line; bad input ends with one sentence on stderr and exit code 2."""
    try:
        app()
    except RemanenceError as error:
        typer.echo(f"remanence: {error}", err=True)
        sys.exit(2)
    except SystemExit as end:
        if end.code == STOPPED:
            typer.echo(
                "remanence: stopped; add --resume to go on: what was measured is kept, a training begins anew.",
                err=True,
            )
        raise


if __name__ == "__main__":
    main()
