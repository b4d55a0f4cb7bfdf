"""`remanence match`: whose words are these?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from remanence.cli.shared import Format, check_format, columns, say


def match(
    generated: Annotated[Path, typer.Argument(help="Generated texts: JSONL, CSV or Parquet, gzipped or not.")],
    training: Annotated[Path, typer.Argument(help="Training rows.")],
    heldout: Annotated[Path | None, typer.Option(help="Texts of the same kind that were not trained on.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("remanence-match"),
    index: Annotated[Path | None, typer.Option(help="Folder of the index, used again; default: in --out.")] = None,
    alpha: Annotated[float, typer.Option(help="Share of held-out texts that may be flagged as copied.")] = 0.01,
    detector: Annotated[str, typer.Option(help="calibrated, or pan2015, the published one.")] = "calibrated",
    background: Annotated[str, typer.Option(help="Common words by: corpus, unigram, heldout, base.")] = "corpus",
    base: Annotated[str | None, typer.Option(help="The model before fine-tuning, for --background base.")] = None,
    decoys: Annotated[int, typer.Option(help="Records that the own one is ranked among; 0 = no ideas.")] = 99,
    likeness: Annotated[str, typer.Option(help="For ideas: words, or embed (an extra).")] = "words",
    own_column: Annotated[str, typer.Option(help="Column with the id of the row that a text was asked about.")] = "own",
    seed: Annotated[int, typer.Option(help="Seed of everything drawn at random.")] = 0,
    text_column: Annotated[str | None, typer.Option(help="Column of the text, in all files.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    format: Format = "table",
) -> None:
    """Whose words are these texts made of: the prompt's, everybody's, or a training row's? Needs no model."""
    check_format(format)
    from remanence.jobs.api import match as run

    result = run(
        generated,
        training,
        heldout=heldout,
        out=out,
        index=index,
        resume=resume,
        reveal=reveal,
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        alpha=alpha,
        detector=detector,
        background=background,
        base=base,
        decoys=decoys,
        likeness=likeness,
        own_column=own_column,
        seed=seed,
    )
    say(result.run, format)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)
