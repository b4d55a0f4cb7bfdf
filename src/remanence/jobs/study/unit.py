"""One arm from end to end: fine-tune, pass over the rows, ask, judge; and the same for the base model, once.

Everything that needs a model is written before anything is judged, so that `rescore` needs no model.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Scores, rendered_rows
from remanence.engine.opening import open_targets
from remanence.engine.token_store import to_arrow
from remanence.explain.attention.capture import attention_pass
from remanence.explain.attention.maps import attention_map
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.asking import generate_attempts, output_starts, write_texts
from remanence.jobs.study.data import Split, read_split, whole
from remanence.jobs.study.judging import judge_unit
from remanence.jobs.study.outcomes import (
    ANY,
    ATTEMPTS,
    CURVE,
    GROUPS,
    MAPS,
    PROBES,
    SIDES,
    Probe,
    outcomes,
    write_lines,
)
from remanence.jobs.study.settings import StudySettings
from remanence.models.huggingface import HuggingFace
from remanence.models.render import Renderer
from remanence.models.settings import TargetSettings
from remanence.training.finetune import finetune

BATCH_TOKENS = 16_384
"""Padded tokens per batch: answers of 100 tokens come about twice as fast as with the audit's 4,096."""


def run_base(run: Run, arm: Arm, model: str, settings: StudySettings) -> None:
    """What the base model says of the rows, and the texts that the detectors need: `bases/...`."""
    place = f"bases/{arm.base_slug}"
    if run.has(f"{place}/outcomes.parquet"):
        return
    split = read_split(run, arm.data_slug)
    target = _open(model, settings)
    _measure(run, place, target, split, settings)
    write_texts(run, place, target, split, settings)
    judge_unit(run, place, place, "base", settings)


def run_arm(run: Run, arm: Arm, model: str, settings: StudySettings, *, keep_models: bool = False) -> None:
    """Fine-tune and measure: `arms/...`. A killed arm is trained anew; one that was trained is only measured."""
    place = f"arms/{arm.slug}"
    if run.has(f"{place}/outcomes.parquet"):
        return
    split = read_split(run, arm.data_slug)
    weights = run.folder / place / "model"
    if not run.has(f"{place}/curve.parquet"):
        shutil.rmtree(weights, ignore_errors=True)
        _train(run, place, arm, model, split, settings, weights)
    if not run.has(f"{place}/attempts.parquet"):
        _measure(run, place, _open(weights, settings, model), split, settings)
    judge_unit(run, place, f"bases/{arm.base_slug}", "tuned", settings)
    if not keep_models:
        shutil.rmtree(weights, ignore_errors=True)


def _train(
    run: Run, place: str, arm: Arm, model: str, split: Split, settings: StudySettings, weights: Path
) -> None:  # fmt: skip
    """Fine-tune, and after every epoch ask what has come in; the curve is written when all is done."""
    watched = _open(model, settings)
    groups = {"train": split.members, "heldout": split.heldout}
    boundaries = {group: output_starts(watched, rows) for group, rows in groups.items()}
    lines: list[dict[str, Any]] = []

    def look(epoch: int, module: Any) -> None:
        live = HuggingFace(module, watched.tokenizer, watched.renderer, "live", "", watched.family)
        for group, rows in groups.items():
            scored = list(live.score(rows, ["logprob", "rank"]))
            lines.append({"epoch": epoch, "group": group} | _point(scored, boundaries[group], arm, settings))

    look(0, watched.module)
    finetune(
        model,
        split.rows_in_order(arm.seed),
        weights,
        epochs=arm.epochs,
        learning_rate=arm.learning_rate,
        batch_size=arm.batch_size,
        max_length=settings.max_length,
        loss_on="completion" if watched.family == "seq2seq" else arm.loss_on,
        seed=arm.seed,
        lora_rank=arm.lora_rank or None,
        on_epoch=look,
        progress=False,
    )
    write_lines(run, f"{place}/curve", lines, CURVE)


def _point(scored: Sequence[TokenRow | str], boundaries: Sequence[int], arm: Arm, settings: StudySettings) -> Any:
    """Loss and greedy hits of a group after an epoch, over the tokens that carry loss in this arm."""
    budget = 10 if 10 in settings.budgets else settings.budgets[0]
    probes = [Probe(row, at) for row, at in zip(scored, boundaries, strict=True)]
    sides = SIDES if arm.loss_on == "all" else ("output",)
    total = count = 0.0
    hit, known = np.zeros(len(probes), bool), np.zeros(len(probes), bool)
    for cell, values in outcomes(probes, settings_at(settings, budget)):
        if cell.side in sides and cell.metric == "greedy" and cell.prefix == ANY:
            hit, known = hit | (values == 1), known | ~np.isnan(values)
    for probe in probes:
        for side in sides:
            span = probe.side(side)
            if span is not None and isinstance(probe.row, TokenRow):
                total -= float(probe.row.columns["logprob"][span[0] : span[1]].astype(np.float64).sum())
                count += span[1] - span[0]
    loss = total / count if count else None
    return {"loss": loss, "hits": int((hit & known).sum()), "n": int(known.sum()), "budget": budget}


def settings_at(settings: StudySettings, budget: int) -> StudySettings:
    """The settings with one budget and no sampling: what is looked at after every epoch."""
    return StudySettings.of_spec(settings.spec() | {"budgets": [budget], "schemes": [], "queries": []})


def _open(model: str | Path, settings: StudySettings, base: str | None = None) -> HuggingFace:
    """A folder or Hub name as a target whose rows carry loss everywhere, so that both sides are in the table."""
    target, _ = open_targets(model, base, TargetSettings(max_length=settings.max_length, batch_tokens=BATCH_TOKENS))
    assert isinstance(target, HuggingFace)
    if target.family == "causal":
        old = target.renderer
        target.renderer = Renderer(old.tokenizer, "all", old.max_length, old.add_eos, False, old.context)
    return target


def _measure(run: Run, place: str, target: HuggingFace, split: Split, settings: StudySettings) -> None:
    """Token tables, attention and answers of the measured rows; the answers are written last."""
    columns = sorted({"logprob", "rank", *(SamplingScheme.parse(s).column for s in settings.schemes)})
    probes: list[dict[str, Any]] = []
    attempts: list[dict[str, Any]] = []
    for group, records in zip(GROUPS, (split.members, split.heldout), strict=True):
        rendered = rendered_rows(cast(Scores, target), records)
        boundaries = output_starts(target, records)
        if settings.attention:  # one pass gives both, attention where the output is written
            attended, rows = attention_pass(target, rendered, columns, since=boundaries)
            run.write_table(f"{place}/attention-{group}", attended.to_arrow())
        else:
            rows = list(target.score_rendered(rendered, columns))
        shard = to_arrow(group, range(len(rows)), [r.id for r in records], rows, [None] * len(rows))
        run.write_table(f"{place}/tokens-{group}", shard)
        for i, (record, row, boundary) in enumerate(zip(records, rendered, boundaries, strict=True)):
            known = None if isinstance(row, str) else row
            probes.append(
                {"group": group, "row": i, "id": record.id, "copies": record.meta["copies"], "boundary": boundary,
                 "num_tokens": known.ids.size if known else None, "reason": row if isinstance(row, str) else None,
                 "num_truncated": known.num_truncated if known else None}
            )  # fmt: skip
        if settings.detectors:
            for side in SIDES:
                attempts += generate_attempts(target, group, side, records, rendered, boundaries, settings)
    if settings.attention:
        most = int(np.argmax([r.meta["copies"] for r in split.members]))
        chosen = [("train", most, split.members[most]), ("heldout", 0, split.heldout[0])]
        write_lines(run, f"{place}/maps", [_map(target, *one) for one in chosen], MAPS)
    write_lines(run, f"{place}/probes", probes, PROBES)
    write_lines(run, f"{place}/attempts", attempts, ATTEMPTS)


def _map(target: HuggingFace, group: str, row: int, record: Record) -> dict[str, Any]:
    """Where the model looks while it writes the output of one row, for `maps.parquet`; empty where there is none."""
    line: dict[str, Any] = dict.fromkeys(MAPS.names) | {"group": group, "row": row, "id": record.id}
    rendered = _outputs_only(rendered_rows(cast(Scores, target), [record])[0], output_starts(target, [record])[0])
    if isinstance(rendered, str):
        return line
    found = attention_map(target, rendered)
    says, sees = ([whole(token) for token in tokens] for tokens in (found.says, found.sees))
    line |= {"kind": found.kind, "says": says, "sees": sees, "learned": found.learned.tolist()}
    return line | {"weights": found.weights.ravel().tolist()}


def _outputs_only(row: Rendered | str, boundary: int) -> Rendered | str:
    """The row with loss on its output alone: attention is read where outputs are written, in every arm."""
    if isinstance(row, str) or row.source is not None:
        return row
    if boundary >= row.ids.size:
        return "truncation cut the whole output"
    return Rendered(row.ids, np.arange(row.ids.size) >= boundary)
