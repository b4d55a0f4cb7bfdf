"""Generated texts against a training corpus, from end to end: read, index, calibrate, judge, count, write.

Texts stream through in shards, and a shard that is there is never computed again; the index lies on disk, is built once
and used again as long as the corpus is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError
from remanence.core.executor import Executor, Serial
from remanence.core.progress import track
from remanence.core.read import data_fingerprint
from remanence.core.record import Record
from remanence.core.run import Run, fingerprint, refuse_taken
from remanence.core.schema import ATTEMPTS
from remanence.core.target import Target
from remanence.engine.describe import versions
from remanence.engine.origins import (
    Surprise,
    base_surprise,
    calibration_table,
    match_lines,
    matches_to_arrow,
    origin_line,
    to_arrow,
    with_q_values,
)
from remanence.engine.rates import rates_to_arrow
from remanence.engine.stages import run_shards
from remanence.jobs.match.settings import MatchSettings
from remanence.jobs.match.verdict import rate_lines, verdict
from remanence.measure.plagiarism.compile_kernels import compile_kernels
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration, lengths_for
from remanence.measure.plagiarism.published import judged_as_published
from remanence.measure.plagiarism.types import GeneratedText, Judgement, generated_text_of
from remanence.text.background import Background, NGrams
from remanence.text.embed import embedded
from remanence.text.run_build import corpus_fingerprint
from remanence.text.words import TOKENIZATION, words_of

Judge = Callable[[Sequence[GeneratedText]], list[Judgement]]


@dataclass(frozen=True)
class Matched:
    """What a match found."""

    run: Run
    verdict: dict[str, Any]
    """`verdict.json`: the two sentences, the headline figures, what cannot be claimed."""


@dataclass(frozen=True)
class TextShard:
    """A shard of generated texts to be judged."""

    index: int
    first: int
    """Place of its first text among all texts."""
    texts: Sequence[GeneratedText]
    background: Background | None
    """Surprisal of its words under the base model, where that is the background."""

    bar = "texts"

    @property
    def tables(self) -> tuple[str, ...]:
        """See `ShardTask`."""
        return f"matches/{self.index:05d}", f"origins/{self.index:05d}"

    @property
    def size(self) -> int:
        """See `ShardTask`."""
        return len(self.texts)


@dataclass(frozen=True)
class Matcher:
    """All that judging a shard needs."""

    index: PlagiarismIndex
    calibration: NullCalibration | None
    background: Background | None
    settings: MatchSettings


def open_matcher_in(
    folder: str, calibration: NullCalibration | None, background: Background | None, settings: MatchSettings
) -> Matcher:
    """The same in another process, with the index opened in its folder."""
    return Matcher(PlagiarismIndex.open(folder), calibration, background, settings)


def match_shard(matcher: Matcher, shard: TextShard) -> tuple[pa.Table, pa.Table]:
    """Judge the texts of a shard: its `matches` and `origins`."""
    background = matcher.background if shard.background is None else shard.background
    judge = _judge(matcher.index, matcher.calibration, lambda _: background, matcher.settings)
    judgements = judge(shard.texts)
    matches = [line for i, one in enumerate(judgements) for line in match_lines(shard.first + i, one, matcher.index)]
    origins = [origin_line(shard.first + i, one) for i, one in enumerate(judgements)]
    return matches_to_arrow(matches), to_arrow(origins)


def run_match(
    generated: Iterable[Record],
    train: Iterable[Record],
    heldout: Sequence[Record] | None,
    out: Path | str,
    settings: MatchSettings,
    *,
    base: Target | None = None,
    index_folder: Path | str | None = None,
    names: dict[str, Any] | None = None,
    resume: bool = False,
    show: bool = True,
    executor: Executor | None = None,
) -> Matched:
    """Judge generated texts against training rows, which are read more than once. `index_folder` None = `OUT/index`.

    `executor` judges the shards of texts (default: this process); its workers open the index in its folder.
    """
    texts = list(generated)
    if not texts:
        raise RemanenceError("There are no generated texts to judge: the file is empty.")
    held = _with_words(heldout)
    out = Path(out)
    refuse_taken(out, resume=resume)
    _refuse(held, base, settings)
    told = _told(train, texts, settings.source_column)
    run = Run.begin(out, _spec(texts, told, heldout, base, settings, names or {}), resume=resume)
    place = run.folder / "index" if index_folder is None else Path(index_folder)
    with track("getting the detector ready", 1, show=show) as advance:
        compile_kernels()  # compiles on first use: told apart, or the index would seem to hang
        advance(1)
    with track("indexing the training rows", 1, show=show) as advance:
        try:
            index = PlagiarismIndex.build(train, place)
        except ValueError as error:
            raise RemanenceError(f"The index cannot be made: {error}.") from error
        advance(1)
    number = {name: i for i, name in enumerate(index.ids)}
    said = [_said(record, number, settings.source_column) for record in texts]
    counts = np.diff(words_of([one.text for one in said]).offsets)
    null, surprise = _null(index, held, base, settings)
    calibration = None
    if settings.detector == "calibrated" and any(one.text for one in null):
        calibration = NullCalibration.fit(index, null, lengths_for(counts), settings.seed, background=surprise(null))
    judge = _judge(index, calibration, surprise, settings)
    shards = range(0, len(said), settings.shard_rows)
    of_base = settings.background == "base"  # computed here, where the base model is
    fixed = None if of_base else surprise(())
    tasks = (
        TextShard(i, at, part, surprise(part) if of_base else None)
        for i, at in enumerate(shards)
        for part in [said[at : at + settings.shard_rows]]
    )

    def write(shard: TextShard, tables: tuple[pa.Table, pa.Table]) -> None:
        for name, table in zip(shard.tables, tables, strict=True):
            run.write_table(name, table)

    executor = executor or Serial()
    here = Matcher(index, calibration, fixed, settings)
    elsewhere = partial(open_matcher_in, str(place.resolve()), calibration, fixed, settings)
    open_matcher = (lambda: here) if isinstance(executor, Serial) else elsewhere
    bars = {"texts": ("matching the texts", len(said))}
    run_shards(run, tasks, open_matcher, match_shard, write, executor, bars, show=show)
    run.write_table("attempts", pa.Table.from_pylist(list(_attempts(texts, said)), ATTEMPTS))
    run.write_table("matches", matches_to_arrow(_gathered(run, "matches", len(shards))))
    run.write_table("calibration", calibration_table(calibration, settings.alpha))
    lines = with_q_values(_gathered(run, "origins", len(shards)), ["said"] * len(said))
    run.write_table("origins", to_arrow(lines))
    dice = np.random.default_rng(settings.seed)
    best = judge(_perfect(index, counts, dice))
    quoting = np.zeros(len(null), np.bool_) if calibration is None else calibration.quoting  # quotations are no floor
    innocent = [one for one, quotes in zip(null, quoting, strict=True) if one.text and not quotes]
    floor = judge([replace(one, text=_opening(one.text, int(dice.choice(counts)))) for one in innocent])
    rates = rate_lines(lines, [origin_line(0, o) for o in floor] if held else None, [origin_line(0, o) for o in best])
    run.write_table("rates", rates_to_arrow(rates))
    asked = any(one.own >= 0 for one in said)
    told = verdict(lines, run.lines("matches"), rates, calibration, index, settings, asked=asked)
    run.write_json("verdict.json", told)
    return Matched(run, told)


def _refuse(held: Sequence[Record], base: Target | None, settings: MatchSettings) -> None:
    """What the settings need and is not there, before anything is begun."""
    if settings.background == "heldout" and len(held) < 3:
        raise RemanenceError("--background heldout needs --heldout with at least 3 texts.")
    if settings.background == "base" and base is None:
        raise RemanenceError("--background base needs --base, the model before fine-tuning.")


def _told(train: Iterable[Record], texts: Sequence[Record], own_column: str) -> dict[str, Any]:
    """Count and digests of the training rows, in one pass over them; every row that a text asks for must be there."""
    asked = {own: one.id for one in texts if (own := _asked(one, own_column)) is not None}
    count, ids = 0, blake2b(digest_size=8)

    def plain() -> Iterator[str]:
        nonlocal count
        for record in train:
            count += 1
            ids.update(fingerprint(record.id.encode()).encode())
            asked.pop(record.id, None)
            yield record.plain

    texts_of = corpus_fingerprint(plain())
    told = {"rows": count, "fingerprint": texts_of, "ids": ids.hexdigest()}
    if not count:
        raise RemanenceError("There are no training rows to compare with: the file is empty.")
    for own, text in asked.items():
        raise RemanenceError(
            f"Generated text {text} says it was asked about training row {own!r}, and no row has that id: "
            "check --source-column, or the ids of the training rows."
        )
    return told


def _spec(
    texts: Sequence[Record],
    train: dict[str, Any],
    heldout: Sequence[Record] | None,
    base: Target | None,
    settings: MatchSettings,
    names: dict[str, Any],
) -> dict[str, Any]:
    def told(group: str, records: Sequence[Record]) -> dict[str, Any]:
        return {"name": names.get(group, group), "rows": len(records), "fingerprint": data_fingerprint(records)}

    asked = [_asked(record, settings.source_column) or "" for record in texts]
    said = told("generated", texts) | {"asked": fingerprint(*(own.encode() for own in asked)) if any(asked) else None}
    train = {"name": names.get("train", "train"), **train}
    held = None if heldout is None else told("heldout", heldout)
    return {
        "schema": 2,
        "job": "match",
        "settings": settings.spec(),
        "seed": settings.seed,
        "data": {"generated": said, "train": train, "heldout": held},
        "models": {"base": None if base is None else {"name": base.name, "fingerprint": base.fingerprint}},
        "tokenization": TOKENIZATION,
        "versions": versions(),
    }


def _with_words(heldout: Sequence[Record] | None) -> list[Record]:
    return [record for record in heldout or () if words_of([generated_text_of(record).text]).keys.size]


def _said(record: Record, number: dict[str, int], column: str) -> GeneratedText:
    asked = _asked(record, column)
    return generated_text_of(record, own=-1 if asked is None else number[asked])


def _asked(record: Record, column: str) -> str | None:
    """Id of the training row that a text was asked about; an empty cell of a CSV file says nothing."""
    asked = record.meta.get(column)
    return None if asked is None or asked == "" else str(asked)


def _null(
    index: PlagiarismIndex, held: list[Record], base: Target | None, settings: MatchSettings
) -> tuple[list[GeneratedText], Surprise]:
    """The held-out texts, and what says how surprising words are.

    Texts that a background model was fitted on say nothing any more: they are empty.
    """
    texts = [generated_text_of(record, heldout=i) for i, record in enumerate(held)]
    background: Background | None = None
    if settings.background == "base":
        assert base is not None
        return texts, base_surprise(base)
    if settings.background == "unigram":
        background = NGrams.fit(words_of(list(islice(index.texts, 100_000))), order=1)
    if settings.background == "heldout":
        spared = set(np.random.default_rng(settings.seed).permutation(len(texts))[: len(texts) // 3].tolist())
        background = NGrams.fit(words_of([texts[i].text for i in sorted(spared)]))
        texts = [GeneratedText("", heldout=i) if i in spared else one for i, one in enumerate(texts)]
    return texts, lambda said: background


def _judge(
    index: PlagiarismIndex, calibration: NullCalibration | None, surprise: Surprise, settings: MatchSettings
) -> Judge:
    if settings.detector == "pan2015":
        return lambda part: judged_as_published(index, part)
    alike = embedded if settings.similarity == "embed" else None

    def judge(part: Sequence[GeneratedText]) -> list[Judgement]:
        return index.match(part, calibration, settings.alpha, surprise(part), settings.decoys, alike) if part else []

    return judge


def _opening(text: str, count: int) -> str:
    """The first words of a held-out text: the floor has texts of the same lengths as those that are judged."""
    ends = words_of([text]).ends[:count]
    return text[: int(ends[-1])] if ends.size else ""


def _perfect(
    index: PlagiarismIndex, counts: NDArray[np.int64], dice: np.random.Generator, most: int = 500
) -> list[GeneratedText]:
    """The ceiling: texts of the same numbers of words that are pure copies of training rows drawn at random."""
    chosen = np.sort(dice.permutation(counts.size)[:most])
    copies: list[GeneratedText] = []
    for row, count in zip(
        dice.integers(0, len(index.texts), chosen.size).tolist(), counts[chosen].tolist(), strict=True
    ):
        text = index.texts[row]
        words = words_of([text])
        first = int(dice.integers(0, max(1, words.keys.size - count + 1)))
        last = min(first + count, words.keys.size) - 1
        copies.append(
            GeneratedText(text[int(words.starts[first]) : int(words.ends[last])] if last >= first else "", own=row)
        )
    return copies


def _attempts(texts: Sequence[Record], said: Sequence[GeneratedText]) -> Iterator[dict[str, Any]]:
    for row, (record, one) in enumerate(zip(texts, said, strict=True)):
        yield {
            "target": "given",
            "group": "generated",
            "row": row,
            "id": record.id,
            "attack": "given",
            "why": "given",
            "prompt": one.prompt,
            "answer": one.text,
        }


def _gathered(run: Run, name: str, shards: int) -> list[dict[str, Any]]:
    return [line for shard in range(shards) for line in run.lines(f"{name}/{shard:05d}")]
