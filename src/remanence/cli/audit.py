"""`remanence audit` and `remanence demo`: what comes back?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from remanence.cli.shared import FAILED, Format, JUnit, Summary, check_format, columns, names, numbers, say, tell_ci


def audit(
    model: Annotated[str, typer.Option(help="The fine-tuned model: folder, adapter, Hub name or api:MODEL@URL.")],
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or map: spread over all GPUs.")] = "auto",
    batch_tokens: Annotated[int, typer.Option(help="Padded tokens per batch.")] = 4096,
    executor: Annotated[str, typer.Option(help="Who does the work: serial, or ray, for a cluster.")] = "serial",
    workers: Annotated[int | None, typer.Option(help="With --executor ray, how many, one model each.")] = None,
    ray_address: Annotated[str | None, typer.Option(help="HOST:PORT of the cluster; auto: of this machine.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="api: folder or Hub name, to count in tokens.")] = None,
    api_key_env: Annotated[str, typer.Option(help="api: variable that holds the key.")] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(help="api: requests under way together.")] = 8,
    requests_per_minute: Annotated[float | None, typer.Option(help="api: no more than so many.")] = None,
    timeout: Annotated[float, typer.Option(help="api: seconds to wait for an answer.")] = 120.0,
    price_in: Annotated[float | None, typer.Option(help="api: price of a million prompt tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="api: price of a million generated tokens.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="api: ask nothing if it may cost more.")] = None,
    max_requests: Annotated[int | None, typer.Option(help="api: ask nothing if it takes more.")] = None,
    replay: Annotated[Path | None, typer.Option(help="api: a run folder to take all answers from.")] = None,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--no-stream", help="Rows pass by, a line of each is kept; else above 100,000 rows."),
    ] = None,
    worst: Annotated[int, typer.Option(help="Streaming: rows that the ranking and the report name.")] = 10_000,
    together: Annotated[int, typer.Option(help="Streaming: rows up to which near duplicates are counted.")] = 20_000,
    text_column: Annotated[str | None, typer.Option(help="Column of the text.")] = None,
    prompt_column: Annotated[str | None, typer.Option(help="Column of the prompt.")] = None,
    completion_column: Annotated[str | None, typer.Option(help="Column of the completion.")] = None,
    messages_column: Annotated[str | None, typer.Option(help="Column of the chat turns.")] = None,
    id_column: Annotated[str, typer.Option(help="Column of the row ids.")] = "id",
    fail_if: Annotated[str | None, typer.Option(help="Exit with 3 if this holds, like 'excess>0.01'.")] = None,
    summary: Summary = None,
    junit: JUnit = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show training text in the report.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code from the model.")] = False,
    format: Format = "table",
) -> None:
    """Which training rows does the model give back, how sure is that, and is it more than chance?"""
    check_format(format)
    from remanence.jobs.api import audit as run
    from remanence.models.endpoint.settings import EndpointSettings

    asking = EndpointSettings(
        tokenizer=tokenizer,
        api_key_env=api_key_env,
        concurrency=concurrency,
        requests_per_minute=requests_per_minute,
        timeout=timeout,
        price_in=price_in,
        price_out=price_out,
        max_cost=max_cost,
        max_requests=max_requests,
        replay=replay,
    )
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
        stream=stream,
        worst=worst,
        together=together,
        trust_remote_code=trust_remote_code,
        endpoint=None if asking == EndpointSettings() else asking,
        columns=columns(text_column, prompt_column, completion_column, messages_column, id_column),
        prefixes=numbers(prefixes, "--prefixes"),
        new_tokens=new_tokens,
        budgets=numbers(budgets, "--budgets") if budgets.strip() else (),
        by=tuple(name for part in by or () for name in names(part)),
        measures=names(measures),
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
        executor=executor,
        workers=workers,
        ray_address=ray_address,
        **chosen,
    )
    say(result.run, format)
    tell_ci(result.run, summary, junit)
    typer.echo(f"\nreport: {out / 'report.html'}", err=True)
    if result.failed:
        typer.echo(f"--fail-if {fail_if!r} holds.", err=True)
        raise typer.Exit(FAILED)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, model and run.")] = Path("demo"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the demo in --out.")] = False,
    format: Format = "table",
) -> None:
    """The main job on fictional rows: fine-tune a small model, audit it, write the report. Takes minutes."""
    check_format(format)
    from remanence.jobs.demo import demo as run

    result = run(out, resume=resume)
    say(result.run, format)
    typer.echo(f"\nreport: {out / 'run' / 'report.html'}", err=True)
