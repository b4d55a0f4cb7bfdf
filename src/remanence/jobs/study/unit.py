"""One arm from end to end: fine-tune, pass over the rows, ask, judge; and the same for the base model, once.

Everything that needs a model is written before anything is judged, so that `rescore` needs no model.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from remanence.core.errors import NotMeasured
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.scheme import SamplingScheme
from remanence.core.table import Rendered, TokenRow
from remanence.core.target import Scores, rendered_rows
from remanence.engine.opening import open_targets
from remanence.engine.token_store import from_arrow, to_arrow
from remanence.explain.attention.capture import attention_pass
from remanence.explain.attention.maps import attention_map
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.asking import Judge, Texts, ask, questions
from remanence.jobs.study.exact import ANY, Cell, Probe, Values, outcomes
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.study.split import Split, read_split, whole
from remanence.jobs.study.tables import ATTEMPTS, CURVE, MAPS, PROBES, write_lines, write_outcomes
from remanence.models.huggingface import HuggingFace
from remanence.models.render import Renderer
from remanence.training.finetune import finetune

GROUPS = ("train", "heldout")
SIDES = ("input", "output")
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
    _write_texts(run, place, target, split, settings)
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


def judge_unit(run: Run, place: str, base: str, who: str, settings: StudySettings) -> None:
    """`outcomes.parquet` of a unit from its tables; needs no model. `base` is the unit that holds the texts."""
    cells: list[Any] = []
    probes = {group: _probes(run, place, group) for group in GROUPS}
    for group in GROUPS:
        cells += [(who, group, *one) for one in outcomes(probes[group], settings)]
    attempts = run.lines(f"{place}/attempts") if settings.detectors else []
    texts = run.lines(f"{base}/texts") if settings.detectors else []
    num_train = len({line["row"] for line in texts if line["part"] == "train"})
    owns = {"train": range(num_train), "heldout": np.random.default_rng(0).integers(0, max(1, num_train), 1 << 16)}
    for side in SIDES:
        here = [line for line in texts if line["side"] == side]
        if not here:
            continue
        judge = Judge(
            [line["text"] for line in here if line["part"] == "train"],
            [(line["prompt"], line["text"]) for line in here if line["part"] == "calibration"],
            settings,
        )
        for at, budget in enumerate(settings.budgets):
            for group in GROUPS:
                lines = [line for line in attempts if line["group"] == group and line["side"] == side]
                own = [int(owns[group][line["row"]]) for line in lines]
                prompts = [line["prompt"] for line in lines]
                said = [_at(line["answer_at"], at) if _at(line["expected_at"], at) is not None else None
                        for line in lines]  # fmt: skip
                cells += [(who, group, *one) for one in judge.cells(side, budget, Texts(said, prompts, own))]
                if who == "base" and group == "train":
                    best = [_at(line["expected_at"], at) for line in lines]
                    cells += [("ceiling", group, *one) for one in judge.cells(side, budget, Texts(best, prompts, own))]
        if "pan2015" in settings.detectors:
            cells += _published(judge, side, attempts, who, settings)
    write_outcomes(run, f"{place}/outcomes", cells)


def _published(
    judge: Judge, side: str, attempts: Sequence[dict[str, Any]], who: str, settings: StudySettings
) -> Iterator[tuple[str, str, Cell, Values]]:
    """As published: every answer counts, however short its row is; nothing is "not measurable"."""
    for group in GROUPS:
        lines = [line for line in attempts if line["group"] == group and line["side"] == side]
        yield who, group, *judge.published(side, [line["answer"] for line in lines])
        if who == "base" and group == "train":
            yield "ceiling", group, *judge.published(side, [line["expected"] for line in lines])


def _at(texts: Sequence[str | None] | None, at: int) -> str | None:
    return None if texts is None else texts[at]


def _train(
    run: Run, place: str, arm: Arm, model: str, split: Split, settings: StudySettings, weights: Path
) -> None:  # fmt: skip
    """Fine-tune, and after every epoch ask what has come in; the curve is written when all is done."""
    watched = _open(model, settings)
    groups = {"train": split.members, "heldout": split.heldout}
    boundaries = {group: _boundaries(watched, rows) for group, rows in groups.items()}
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
    target, _ = open_targets(model, base, AuditSettings(max_length=settings.max_length, batch_tokens=BATCH_TOKENS))
    assert isinstance(target, HuggingFace)
    if target.family == "causal":
        old = target.renderer
        target.renderer = Renderer(old.tokenizer, "all", old.max_length, old.add_eos, False, old.context)
    return target


def _boundaries(target: HuggingFace, records: Sequence[Record]) -> list[int]:
    """Index of the first output token of each row; the row's length where the cut left no output."""
    if target.family == "seq2seq":
        return [0] * len(records)
    old = target.renderer
    outputs = Renderer(old.tokenizer, "completion", old.max_length, old.add_eos, False, old.context)
    found: list[int] = []
    for record in records:
        try:
            row = outputs(record)
            found.append(int(np.argmax(row.supervised)) if row.supervised.any() else int(row.ids.size))
        except NotMeasured:
            found.append(0)
    return found


def _measure(run: Run, place: str, target: HuggingFace, split: Split, settings: StudySettings) -> None:
    """Token tables, attention and answers of the measured rows; the answers are written last."""
    columns = sorted({"logprob", "rank", *(SamplingScheme.parse(s).column for s in settings.schemes)})
    probes: list[dict[str, Any]] = []
    attempts: list[dict[str, Any]] = []
    for group, records in zip(GROUPS, (split.members, split.heldout), strict=True):
        rendered = rendered_rows(cast(Scores, target), records)
        boundaries = _boundaries(target, records)
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
                attempts += _attempts(target, group, side, records, rendered, boundaries, settings)
    if settings.attention:
        most = int(np.argmax([r.meta["copies"] for r in split.members]))
        chosen = [("train", most, split.members[most]), ("heldout", 0, split.heldout[0])]
        write_lines(run, f"{place}/maps", [_map(target, *one) for one in chosen], MAPS)
    write_lines(run, f"{place}/probes", probes, PROBES)
    write_lines(run, f"{place}/attempts", attempts, ATTEMPTS)


def _map(target: HuggingFace, group: str, row: int, record: Record) -> dict[str, Any]:
    """Where the model looks while it writes the output of one row, for `maps.parquet`; empty where there is none."""
    line: dict[str, Any] = dict.fromkeys(MAPS.names) | {"group": group, "row": row, "id": record.id}
    rendered = _outputs_only(rendered_rows(cast(Scores, target), [record])[0], _boundaries(target, [record])[0])
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


def _attempts(
    target: HuggingFace, group: str, side: str, records: Sequence[Record], rendered: Sequence[Rendered | str],
    boundaries: Sequence[int], settings: StudySettings,
) -> list[dict[str, Any]]:  # fmt: skip
    asked = questions(target, rendered, records, boundaries, side, settings)
    lines: list[dict[str, Any]] = []
    for i, (record, question, ids) in enumerate(zip(records, asked, ask(target, asked, settings), strict=True)):
        line: dict[str, Any] = {"group": group, "row": i, "id": record.id, "side": side}
        if question is None:
            lines.append({**dict.fromkeys(ATTEMPTS.names), **line})
            continue
        prompt = question.prompt
        line |= {"prompt": whole(question.prompt_text), "prompt_ids": prompt.ids.tolist(), "answer_ids": ids.tolist(),
                 "source_ids": None if prompt.source is None else prompt.source.tolist(),
                 "expected_ids": question.expected[: max(settings.budgets)].tolist()}  # fmt: skip
        for name, said in (("answer", ids), ("expected", question.expected)):
            line[name] = whole(target.decode(np.asarray(said[: max(settings.budgets)], np.int32)))
            line[f"{name}_at"] = [
                None if question.expected.size < budget else whole(target.decode(np.asarray(said[:budget], np.int32)))
                for budget in settings.budgets
            ]
        lines.append(line)
    return lines


def _write_texts(run: Run, place: str, target: HuggingFace, split: Split, settings: StudySettings) -> None:
    """`texts.parquet`: what every training row's own continuation is on each side, and the unseen rows' likewise."""
    import pyarrow as pa

    lines: list[dict[str, Any]] = []
    for part, records in (("train", split.train), ("calibration", split.calibration)):
        rendered, boundaries = rendered_rows(cast(Scores, target), records), _boundaries(target, records)
        for side in SIDES:
            for i, question in enumerate(questions(target, rendered, records, boundaries, side, settings)):
                text = "" if question is None else target.decode(np.asarray(question.expected, np.int32))
                prompt = "" if question is None else question.prompt_text
                lines.append({"part": part, "side": side, "row": i, "prompt": whole(prompt), "text": whole(text)})
    run.write_table(f"{place}/texts", pa.Table.from_pylist(lines))


def _probes(run: Run, place: str, group: str) -> list[Probe]:
    boundaries = [line["boundary"] for line in run.lines(f"{place}/probes") if line["group"] == group]
    rows = [row for _, _, row in from_arrow(run.read_table(f"{place}/tokens-{group}"))]
    return [Probe(row, at) for row, at in zip(rows, boundaries, strict=True)]
