"""The command line: `remanence VERB`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.core.errors import RemanenceError

app = typer.Typer(
    help="What did a fine-tuned model keep of its training rows, and is that more than chance?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

FAILED = 3
"""Exit code when the --fail-if rule strikes."""
STOPPED = 130
"""Exit code that typer makes of Ctrl-C."""

RunFolder = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
Format = Annotated[str, typer.Option("--format", help="What goes to stdout: table, for people, or json, for pipes.")]


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


@app.command()
def audit(
    model: Annotated[str, typer.Option(help="The fine-tuned model: folder, PEFT adapter folder or Hub name.")],
    data: Annotated[Path, typer.Option(help="Training rows: JSONL, CSV or Parquet, gzipped or not.")],
    base: Annotated[str | None, typer.Option(help="The model before fine-tuning; an adapter names its own.")] = None,
    heldout: Annotated[Path | None, typer.Option(help="Rows of the same kind that were not trained on.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("remanence-run"),
    prefixes: Annotated[str, typer.Option(help="Prefix lengths in tokens that carry loss.")] = "0,8,16,32",
    new_tokens: Annotated[int, typer.Option(help="How many further tokens must come back.")] = 24,
    budgets: Annotated[str, typer.Option(help="Tell the rate at these numbers of tokens too.")] = "6,10,20,50,100",
    by: Annotated[
        list[str] | None, typer.Option(help="Column of the data to break the rates down by, like task; or several.")
    ] = None,
    scheme: Annotated[
        list[str] | None, typer.Option(help="Sampling scheme like T=0.8,k=40,p=0.9; repeat for several.")
    ] = None,
    measures: Annotated[
        str, typer.Option(help="Likelihood measures.")
    ] = "loss,zlib_ratio,min_k,min_k_plus_plus,reference",
    loss_on: Annotated[str, typer.Option(help="Tokens that carried loss: auto, all, completion, assistant.")] = "auto",
    max_length: Annotated[int | None, typer.Option(help="Tokens after which training cut a row.")] = None,
    add_eos: Annotated[bool, typer.Option(help="Whether training ended rows with the end-of-text token.")] = True,
    generate: Annotated[str, typer.Option(help="Rows really put to the model: auto, all, none.")] = "auto",
    attempts: Annotated[int, typer.Option(help="With --generate auto, at most so many rows per group.")] = 100,
    alpha: Annotated[float, typer.Option(help="Share of held-out texts that may be flagged as copied.")] = 0.01,
    background: Annotated[str, typer.Option(help="How surprising words are, by: corpus or base.")] = "corpus",
    seed: Annotated[int, typer.Option(help="Seed of everything drawn at random.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    batch_tokens: Annotated[int, typer.Option(help="Padded tokens per batch.")] = 4096,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    fail_if: Annotated[str | None, typer.Option(help="Exit with 3 if this holds, like 'excess>0.01'.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """Which training rows does the model give back, how sure is that, and is it more than chance?"""
    _check_format(format)
    from remanence.jobs.api import audit as run

    chosen: dict[str, Any] = {} if scheme is None else {"schemes": tuple(scheme)}
    result = run(
        model,
        data,
        heldout=heldout,
        base=base,
        out=out,
        fail_if=fail_if,
        resume=resume,
        reveal=reveal,
        trust_remote_code=trust_remote_code,
        columns=_columns(text_column, prompt_column, completion_column, messages_column, id_column),
        prefixes=_numbers(prefixes, "--prefixes"),
        new_tokens=new_tokens,
        budgets=_numbers(budgets, "--budgets") if budgets.strip() else (),
        by=tuple(name for part in by or () for name in _names(part)),
        measures=_names(measures),
        loss_on=loss_on,
        max_length=max_length,
        add_eos=add_eos,
        generate=generate,
        attempts=attempts,
        alpha=alpha,
        background=background,
        seed=seed,
        dtype=dtype,
        device=device,
        batch_tokens=batch_tokens,
        **chosen,
    )
    _say(result.run, format)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)
    if result.failed:
        typer.echo(f"--fail-if {fail_if!r} holds.", err=True)
        raise typer.Exit(FAILED)


@app.command()
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
    _check_format(format)
    from remanence.jobs.api import match as run

    result = run(
        generated,
        training,
        heldout=heldout,
        out=out,
        index=index,
        resume=resume,
        reveal=reveal,
        columns=_columns(text_column, prompt_column, completion_column, messages_column, id_column),
        alpha=alpha,
        detector=detector,
        background=background,
        base=base,
        decoys=decoys,
        likeness=likeness,
        own_column=own_column,
        seed=seed,
    )
    _say(result.run, format)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)


@app.command()
def study(
    tasks: Annotated[str, typer.Argument(help="A Python file with `tasks`, or casebook.")] = "casebook",
    model: Annotated[
        list[str] | None, typer.Option(help="Base model, NAME=FOLDER or FOLDER or Hub name; repeat for several.")
    ] = None,
    only: Annotated[str, typer.Option(help="Only these tasks or families, like summarization,qa.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds; each draws its own rows.")] = "0,1,2",
    loss_on: Annotated[str, typer.Option(help="Tokens that carry loss: completion, all, or both.")] = "completion,all",
    learning_rates: Annotated[str, typer.Option(help="Learning rates.")] = "0.002",
    lora_ranks: Annotated[str, typer.Option(help="LoRA ranks; 0 = all weights are trained.")] = "0",
    epochs: Annotated[int, typer.Option(help="Passes over the rows; every one is a point of the curves.")] = 6,
    batch_size: Annotated[int, typer.Option(help="Rows per step.")] = 8,
    rows: Annotated[int, typer.Option(help="Training rows of an arm, copies included.")] = 1000,
    repeated: Annotated[str, typer.Option(help="COPIESxROWS: so many different rows stand so often.")] = "4x25,16x12",
    members: Annotated[int, typer.Option(help="Different training rows that are measured.")] = 150,
    heldout: Annotated[int, typer.Option(help="Unseen rows that are measured likewise.")] = 150,
    calibration: Annotated[int, typer.Option(help="Further unseen rows that calibrate the detector.")] = 400,
    max_length: Annotated[int, typer.Option(help="Tokens after which training cuts a row.")] = 256,
    prefixes: Annotated[str, typer.Option(help="Splits, in tokens or per cent.")] = "0,10,30,50,100,10%,25%,50%",
    budgets: Annotated[str, typer.Option(help="How many tokens must come back.")] = "6,10,20,50,100",
    scheme: Annotated[list[str] | None, typer.Option(help="Sampling scheme like T=0.8,k=40; repeat.")] = None,
    detectors: Annotated[str, typer.Option(help="calibrated, pan2015, or both.")] = "calibrated,pan2015",
    alpha: Annotated[float, typer.Option(help="Share of unseen texts that our detector may flag.")] = 0.01,
    attention: Annotated[bool, typer.Option(help="Measure how attention is spread.")] = True,
    out: Annotated[Path, typer.Option(help="Folder for the study.")] = Path("remanence-study"),
    workers: Annotated[int, typer.Option(help="Arms at a time, a process each with one thread.")] = 1,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep the fine-tuned models.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    format: Format = "table",
) -> None:
    """Does fine-tuning memorize by task, once chance is taken out? Fine-tunes and audits arm by arm."""
    _check_format(format)
    from remanence.jobs.api import study as run

    more: dict[str, Any] = {} if scheme is None else {"schemes": tuple(scheme)}
    result = run(
        tasks,
        _models(model),
        only=_names(only),
        seeds=_numbers(seeds, "--seeds"),
        loss_on=_names(loss_on),
        learning_rates=_decimals(learning_rates, "--learning-rates"),
        lora_ranks=_numbers(lora_ranks, "--lora-ranks"),
        epochs=epochs,
        batch_size=batch_size,
        out=out,
        resume=resume,
        workers=workers,
        keep_models=keep_models,
        reveal=reveal,
        rows=rows,
        repeated=_doses(repeated),
        members=members,
        heldout=heldout,
        calibration=calibration,
        max_length=max_length,
        prefixes=_names(prefixes),
        budgets=_numbers(budgets, "--budgets"),
        detectors=_names(detectors),
        alpha=alpha,
        attention=attention,
        **more,
    )
    _say(result.run, format)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)


@app.command()
def finetune(
    model: Annotated[str, typer.Option(help="The model to start from: folder or Hub name.")],
    data: Annotated[Path, typer.Option(help="Rows: JSONL, CSV or Parquet, gzipped or not.")],
    heldout: Annotated[
        Path | None, typer.Option(help="Rows not to train on; then none of --data is kept aside.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the model and its record.")] = Path("remanence-model"),
    epochs: Annotated[int, typer.Option(help="Passes over every row.")] = 3,
    learning_rate: Annotated[float, typer.Option(help="Of AdamW, falling linearly to zero.")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="Rows (or packs) per forward pass.")] = 8,
    accumulate: Annotated[int, typer.Option(help="Forward passes per optimizer step.")] = 1,
    warmup_steps: Annotated[int, typer.Option(help="Steps over which the rate rises at first.")] = 0,
    max_length: Annotated[int | None, typer.Option(help="Tokens after which a row is cut.")] = 512,
    loss_on: Annotated[str, typer.Option(help="Tokens to learn: auto, all, completion, assistant.")] = "auto",
    template: Annotated[
        str | None, typer.Option(help="Makes prompt and completion anew, like '{prompt} => {completion}'.")
    ] = None,
    heldout_share: Annotated[float, typer.Option(help="Share of the distinct rows kept aside; 0 = none.")] = 0.1,
    split_by: Annotated[str | None, typer.Option(help="Column whose rows stay on one side, like a patient.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn at random.")] = 0,
    dropout: Annotated[float | None, typer.Option(help="For every dropout probability of the model.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Train a LoRA adapter of this rank instead.")] = None,
    lora_alpha: Annotated[int | None, typer.Option(help="Its strength; default: twice the rank.")] = None,
    trainer: Annotated[str, typer.Option(help="hf (Trainer, Seq2SeqTrainer) or trl (SFTTrainer).")] = "hf",
    packing: Annotated[str, typer.Option(help="With trl, rows per pack: none, bfd (whole), wrapped (cut).")] = "none",
    group_by_length: Annotated[bool, typer.Option("--group-by-length", help="Rows of like length together.")] = False,
    autocast: Annotated[bool, typer.Option("--autocast", help="Compute in bfloat16, on a GPU.")] = False,
    save_epochs: Annotated[bool, typer.Option("--save-epochs", help="Keep the model of every epoch.")] = False,
    device: Annotated[str, typer.Option(help="auto (a GPU if there is one) or cpu.")] = "auto",
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    resume: Annotated[bool, typer.Option("--resume", help="Take up a killed training: from its start.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """Fine-tune a model so that it can be audited: rows kept aside before training, everything written down."""
    _check_format(format)
    from remanence.jobs.finetune import finetune_job as run

    result = run(
        model,
        data,
        heldout=heldout,
        out=out,
        resume=resume,
        trust_remote_code=trust_remote_code,
        columns=_columns(text_column, prompt_column, completion_column, messages_column, id_column),
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        accumulate=accumulate,
        warmup_steps=warmup_steps,
        max_length=max_length,
        loss_on=loss_on,
        template=None if template is None else template.replace("\\n", "\n"),
        heldout_share=heldout_share,
        split_by=split_by,
        seed=seed,
        dropout=dropout,
        lora_rank=lora_rank,
        lora_alpha=lora_alpha,
        trainer=trainer,
        packing=packing,
        group_by_length=group_by_length,
        autocast=autocast,
        save_epochs=save_epochs,
        device=device,
    )
    typer.echo(json.dumps(result.record) if format == "json" else result.text())
    typer.echo(f"\nto audit it: {result.audit_command(model)}", err=True)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, model and run.")] = Path("demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the demo in --out.")] = False,
    format: Format = "table",
) -> None:
    """The main job on fictional rows: fine-tune a small model, audit it, write the report. Takes minutes."""
    _check_format(format)
    from remanence.jobs.demo import demo as run

    result = run(out, resume=resume)
    _say(result.run, format)
    typer.echo(f"\nreport: {out / 'run' / 'report.html'}", err=True)


@app.command()
def report(
    run: RunFolder,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text.")] = False,
    format: Format = "table",
) -> None:
    """Write report.html of a run and print its verdict."""
    _check_format(format)
    from remanence.core.run import Run
    from remanence.report.html import write_report

    path = write_report(Run.open(run), reveal=reveal)
    _say(Run.open(run), format)
    typer.echo(f"\nreport: {path}", err=True)


@app.command()
def score(
    run: RunFolder,
    measures: Annotated[str | None, typer.Option(help="Likelihood measures, like loss,min_k.")] = None,
    format: Format = "table",
) -> None:
    """Score a finished run again from its token tables, without the model."""
    _check_format(format)
    from remanence.jobs.api import score as again

    result = again(run, None if measures is None else list(_names(measures)))
    _say(result.run, format)


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="The run before.", metavar="RUN")],
    other: Annotated[Path, typer.Argument(help="The run after.", metavar="RUN")],
    format: Format = "table",
) -> None:
    """What changed between two runs over the same rows?"""
    _check_format(format)
    from remanence.core.run import Run
    from remanence.jobs.compare import compare_runs

    result = compare_runs(Run.open(one), Run.open(other))
    if format == "json":
        typer.echo(json.dumps(result.to_json()))
        return
    typer.echo(result.text())
    for title, ids in (("no longer", result.went), ("new", result.came)):
        if ids:
            typer.echo(f"{title}: {', '.join(ids[:20])}{', ...' if len(ids) > 20 else ''}")
    for note in result.notes:
        typer.echo(note)


@app.command("list")
def list_systems(
    needs: Annotated[str | None, typer.Option(help="Only systems that such a target serves, like generates.")] = None,
    format: Format = "table",
) -> None:
    """Every system: what it asks, what its target must be able to do, and its paper."""
    _check_format(format)
    from dataclasses import asdict

    from remanence.core.catalogue import entries

    found = [e for e in entries() if needs is None or needs.lower() in e.needs.lower()]
    if not found:
        raise RemanenceError(f"No system asks for a target that {needs!r}: try generates, scores or opens.")
    if format == "json":
        for entry in found:
            typer.echo(json.dumps(asdict(entry)))
        return
    wing = ""
    for entry in found:
        if entry.wing != wing:
            wing = entry.wing
            typer.echo(f"\n{wing}/  ({entry.verb})")
        typer.echo(f"  {entry.name:<22} {entry.caption}")
        typer.echo(f"  {'':<22} needs {entry.needs}; {entry.paper}")


@app.command()
def replicate(
    name: Annotated[str, typer.Argument(help="A claim of the catalogue, like goldfish.")],
    seeds: Annotated[str, typer.Option(help="Seeds, one experiment each.")] = "0,1,2",
    format: Format = "table",
) -> None:
    """Check a paper's claim by a small experiment, and say what came of it here."""
    _check_format(format)
    from remanence.replications.run import run_claim

    for seed in _numbers(seeds, "--seeds"):
        for verdict in run_claim(name, [seed]):
            if format == "json":
                told = {"claim": verdict.claim, "holds": verdict.holds, "text": verdict.text}
                typer.echo(json.dumps({"seed": seed, **told, "figures": dict(verdict.figures)}))
                continue
            word = {True: "holds here", False: "does not hold here", None: "cannot be decided here"}[verdict.holds]
            typer.echo(f"seed {seed}: {word}. {verdict.text}")


def _columns(
    text: str | None, prompt: str | None, completion: str | None, messages: str | None, id: str
) -> dict[str, str]:
    """The columns that were named."""
    named = {"text": text, "prompt": prompt, "completion": completion, "messages": messages, "id": id}
    return {key: column for key, column in named.items() if column is not None}


def _say(run: Any, format: str) -> None:
    if format == "json":
        if not run.has("verdict.json"):
            raise RemanenceError(
                f"{run.folder.name} has no verdict: the run was not finished; add --resume to the audit."
            )
        typer.echo(json.dumps(run.read_json("verdict.json")))
        return
    from remanence.report.terminal import verdict_plain

    typer.echo(verdict_plain(run))


def _check_format(format: str) -> None:
    if format not in {"table", "json"}:
        raise RemanenceError(f"--format is one of table, json, got {format!r}.")


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RemanenceError(f"{option} is a list of whole numbers like 0,8,16, got {text!r}.") from None


def _decimals(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise RemanenceError(f"{option} is a list of numbers like 0.001,0.002, got {text!r}.") from None


def _doses(text: str) -> tuple[tuple[int, int], ...]:
    """`4x25,16x12` as pairs of copies and rows."""
    try:
        pairs = [part.split("x") for part in _names(text)]
        return tuple((int(copies), int(rows)) for copies, rows in pairs)
    except ValueError:
        raise RemanenceError(f"--repeated is a list of COPIESxROWS like 4x25,16x12, got {text!r}.") from None


def _models(named: list[str] | None) -> dict[str, str | Path] | None:
    """NAME=FOLDER, or a folder called by its last part."""
    if not named:
        return None
    pairs = [one.partition("=") for one in named]
    return {name if mark else Path(name).name: folder if mark else name for name, mark, folder in pairs}


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


if __name__ == "__main__":
    main()
