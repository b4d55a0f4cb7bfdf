"""A streamed audit says what the ordinary one says: that one, which holds everything in memory, is the oracle."""

from __future__ import annotations

import csv
import gzip
import json
import math
import pickle
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from remanence.core.errors import RemanenceError
from remanence.core.read import Columns, FileRecords, read_records
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.engine.opening import open_targets
from remanence.jobs import api
from remanence.jobs.audit import large
from remanence.jobs.audit import rows as ordinary_rows
from remanence.jobs.audit.audit import run_audit
from remanence.jobs.audit.conclude import Audit
from remanence.jobs.audit.outcomes import outcomes
from remanence.jobs.audit.rescore import rescore
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream import run_stream
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.jobs.compare import compare_runs
from remanence.jobs.forget.rows import leaking
from remanence.models.parrot import Parrot
from remanence.text.spans import normalise

SETTINGS = AuditSettings(
    prefixes=(0, 4, 8), new_tokens=8, budgets=(4, 16), shard_rows=32, generate_rows=10, by=("kind",), queries=(1, 100)
)
WORDS = "the old river ran past a mill where nobody worked since the long war ended"


def rows(num: int, seed: int, prefix: str) -> list[Record]:
    """Prompts with completions of 0 to 30 words; some stand twice, some nearly."""
    rng = np.random.default_rng(seed)
    made: list[Record] = []
    for i in range(num):
        said = " ".join(rng.choice(WORDS.split(), rng.integers(0, 30)).tolist())
        record = Record(f"{prefix}-{i}", prompt=f"Tell me about {rng.integers(0, 99)}:", completion=f" {said}")
        if i % 9 == 5:
            record = replace(made[i // 2], id=record.id)
        made.append(replace(record, meta={"kind": f"k{i % 3}"}))
    return made


def same(one: Any, other: Any) -> bool:
    """Equal, floats up to rounding in the last digits."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@dataclass(frozen=True)
class Both:
    whole: Audit
    streamed: Audit

    def lines(self, table: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return self.whole.run.lines(table), self.streamed.run.lines(table)


@pytest.fixture(scope="module")
def both(tuned: Path, llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The same 300 rows (some learned by heart), 120 held out (some leaked), audited both ways."""
    import memorizers

    model, base = open_targets(tuned, llama, SETTINGS)
    learned = [replace(r, meta={"kind": f"k{i % 3}"}) for i, r in enumerate(memorizers.LEARNED)]
    train = [*rows(150, 0, "a"), *learned, *rows(142, 1, "b")]
    heldout: Sequence[Record] = [*rows(118, 2, "h"), *(replace(train[i], id=f"leak-{i}") for i in (3, 4))]
    folder = tmp_path_factory.mktemp("both")
    arguments = {"fail_if": "rate>0.9", "show": False}
    whole = run_audit(model, train, heldout, base, folder / "whole", SETTINGS, **arguments)
    streamed = run_stream(model, train, heldout, base, folder / "streamed", SETTINGS, StreamSettings(), **arguments)
    return Both(whole, streamed)


def test_every_rate_is_the_same(both: Both) -> None:
    ours, theirs = both.lines("rates")
    assert len(ours) > 20 and any(line["hits"] for line in ours) and any(line["floor_n"] for line in ours)
    assert [line["value"] for line in ours] == [line["value"] for line in theirs]
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


def test_every_membership_figure_is_the_same(both: Both) -> None:
    ours, theirs = both.lines("membership")
    assert len(ours) == 5 * 3 + 4 * 3 + 1
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


def test_the_ranking_is_the_same_with_p_and_q_values(both: Both) -> None:
    ours, theirs = both.lines("ranking")
    assert len(ours) > 100 and ours[0]["comes_back"]
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


@pytest.mark.parametrize("table", ["attempts", "matches", "origins", "calibration"])
def test_the_same_rows_are_asked_with_the_same_answers(both: Both, table: str) -> None:
    ours, theirs = both.lines(table)
    assert ours and [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []


def test_the_verdict_is_the_same_word_for_word(both: Both) -> None:
    ours, theirs = both.whole.verdict, both.streamed.verdict
    assert ours.keys() == theirs.keys()
    assert [key for key in ours if not same(ours[key], theirs[key])] == []


def test_scoring_again_without_the_model_gives_the_same_tables(both: Both) -> None:
    run = both.streamed.run
    before = {name: (run.folder / name).read_bytes() for name in ("rates.parquet", "ranking.parquet", "verdict.json")}
    rescore(Run.open(run.folder))
    assert {name: (run.folder / name).read_bytes() for name in before} == before


# ------------------------------------------------------------------ more rows than are held


PARROT = AuditSettings(prefixes=(0, 4), new_tokens=8, shard_rows=8, generate_rows=4, schemes=("T=1",))


def write(path: Path, records: Sequence[Record]) -> Path:
    lines = [{"id": r.id, "prompt": r.prompt, "completion": r.completion, **r.meta} for r in records]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def stream_file(path: Path, out: Path, told: Sequence[Record], **more: Any) -> Audit:
    chosen = replace(PARROT, **more.pop("settings", {}))
    stream = StreamSettings(ranked_rows=5, in_memory_rows=10)
    records = more.pop("records", FileRecords(path, Columns(), compared=False))
    return run_stream(Parrot(tuple(told)), records, more.pop("heldout", None), None, out, chosen, stream, **more)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record], Audit]:
    """100 rows, 7 of them known, where 10 may be held together and 5 are named."""
    folder = tmp_path_factory.mktemp("many")
    train = rows(100, 5, "r")
    told = [r for r in train if len(r.completion or "") > 20][:7]
    path = write(folder / "rows.jsonl", train)
    heldout = [*rows(40, 6, "h"), replace(train[20], id="leak")]
    return path, told, stream_file(path, folder / "run", told, heldout=heldout, show=False)


def test_above_the_limit_the_rates_are_those_of_the_ordinary_audit(
    many: tuple[Path, list[Record], Audit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for near duplicates: here the ordinary audit too looks for equal words only among the held-out rows."""
    monkeypatch.setattr(ordinary_rows, "contamination", lambda train, held: np.isin(_said(held), _said(train)))
    path, told, streamed = many
    heldout = [*rows(40, 6, "h"), replace(read_records(path)[20], id="leak")]
    whole = run_audit(Parrot(tuple(told)), read_records(path), heldout, None, tmp_path / "whole", PARROT, show=False)
    for table in ("rates", "membership"):
        ours = [line for line in whole.run.lines(table) if line.get("by") != "near" and line.get("target") != "blind"]
        theirs = [line for line in streamed.run.lines(table) if line.get("target") != "blind"]
        assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a, b)] == []
    ours, theirs = whole.run.lines("ranking")[:5], streamed.run.lines("ranking")
    unknown = {"near": None}
    assert [(a, b) for a, b in zip(ours, theirs, strict=True) if not same(a | unknown, b)] == []


def _said(texts: Sequence[str]) -> list[str]:
    return [normalise(text) for text in texts]


def test_what_was_not_counted_is_said_and_never_a_zero(many: tuple[Path, list[Record], Audit]) -> None:
    run, said = many[2].run, many[2].verdict
    notes = " ".join(said["notes"])
    assert "Near duplicates and held-out rows that nearly equal training rows were not searched" in notes
    assert "not with all training text: `remanence match` does that" in notes
    assert "The ranking has the worst 5 of" in notes
    assert "word for word" in said["sentences"][1] and "nearly" not in said["sentences"][1]
    assert not run.has("origins.parquet") and not any(line["by"] == "near" for line in run.lines("rates"))
    assert {line["near"] for line in run.lines("ranking")} == {None}
    assert {match["whose"] for match in run.lines("matches")} <= {"own"}


def test_every_row_of_the_data_has_its_line(many: tuple[Path, list[Record], Audit]) -> None:
    path, _, streamed = many
    lines = [line for shard in streamed.run.shards("blocks/train") for line in shard.to_pylist()]
    assert [(line["row"], line["id"]) for line in lines] == [(i, r.id) for i, r in enumerate(read_records(path))]
    repeats = [line for line in lines if line["same_as"] is not None]
    assert repeats and all(line["tuned.cuts"] is None and line["copies"] > 1 for line in repeats)


def test_all_rows_that_come_back_can_be_had_whatever_the_ranking_names(many: tuple[Path, list[Record], Audit]) -> None:
    run = many[2].run
    back = [row for row in outcomes(run) if row.comes_back]
    assert len(back) == many[2].verdict["headline"]["hits"] > len(run.lines("ranking"))
    assert len(leaking(run, outcomes(run))) == len(back)
    assert compare_runs(run, run).one.hits == len(back)


def test_no_more_than_a_few_blocks_of_records_are_alive(tmp_path: Path) -> None:
    """The rows themselves are counted: of 400, no more than two blocks of 8 are there at any time."""
    alive: weakref.WeakSet[Counted] = weakref.WeakSet()
    most = 0

    class Rows:
        def __iter__(self) -> Iterator[Record]:
            nonlocal most
            for i in range(400):
                record = Counted(str(i), text=f"row {i} has words of its own, {i * i} of them")
                alive.add(record)
                most = max(most, len(alive))
                yield record
                del record

    _ = stream_file(tmp_path, tmp_path / "run", (), records=Rows(), settings={"generate_rows": 3}, show=False)
    assert 8 <= most <= 2 * 8 + 3 + 1


@dataclass(frozen=True)
class Counted(Record):
    """A record that can be told from an equal one."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__


# ------------------------------------------------------------------ by file, by word, by rule


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_every_kind_of_file_streams_to_the_same_figures(
    many: tuple[Path, list[Record], Audit], kind: str, tmp_path: Path
) -> None:
    path, told, streamed = many
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    other = tmp_path / f"rows{kind}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(lines), other)
    elif kind == ".csv":
        with other.open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)
    else:
        other.write_bytes(gzip.compress(path.read_bytes()) if kind.endswith("gz") else path.read_bytes())
    audit = stream_file(other, tmp_path / "run", told, show=False)
    assert audit.verdict["headline"]["hits"] == streamed.verdict["headline"]["hits"]
    assert audit.run.lines("ranking")[0]["id"] == streamed.run.lines("ranking")[0]["id"]


def test_a_large_file_streams_unasked_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "rows.jsonl", rows(30, 0, "r"))
    monkeypatch.setattr(large, "LARGE", 29)
    monkeypatch.setattr(large.is_large, "__defaults__", (29,))
    assert large.streams(path, None, show=True) and "has more than 29 rows" in capsys.readouterr().err
    assert not large.streams(path, False) and not large.streams(read_records(path), None)
    assert not large.is_large(path, 30) and large.is_large(path, 29)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"generate": "all"}, "--generate all keeps every answer"),
        ({"prefixes": tuple(range(64))}, "63 prefix lengths at most"),
        ({"background": "base"}, "--background base needs --base"),
    ],
)
def test_what_cannot_stream_is_refused_with_the_remedy(tmp_path: Path, changed: dict[str, Any], told: str) -> None:
    path = write(tmp_path / "rows.jsonl", rows(10, 0, "r"))
    with pytest.raises(RemanenceError, match=told):
        _ = stream_file(path, tmp_path / "run", (), settings=changed)


class Backwards:
    """Two pieces of work at a time, the second one first, as workers might finish; what they need is opened anew."""

    def map(self, opens: Any, work: Any, tasks: Any) -> Iterator[tuple[Any, Any]]:
        opened, rest = opens(), iter(tasks)
        while pair := list(islice(rest, 2)):
            yield from ((task, work(opened, pickle.loads(pickle.dumps(task)))) for task in reversed(pair))


def test_whoever_does_the_work_the_folder_is_the_same(many: tuple[Path, list[Record], Audit], tmp_path: Path) -> None:
    path, told, _ = many
    serial = stream_file(path, tmp_path / "serial", told, show=False).run.folder
    workers = {"executor": Backwards(), "opens": lambda: {"tuned": Parrot(tuple(told))}}
    other = stream_file(path, tmp_path / "other", told, show=False, **workers).run.folder
    names = sorted(str(p.relative_to(serial)) for p in serial.rglob("*") if p.is_file())
    assert len([name for name in names if name.startswith("blocks/")]) > 10
    assert [name for name in names if (serial / name).read_bytes() != (other / name).read_bytes()] == []


def test_a_json_list_and_a_server_do_not_stream(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[]")
    with pytest.raises(RemanenceError, match="write it as JSON lines"):
        _ = large.rows_to_stream(tmp_path / "rows.json", Columns())
    with pytest.raises(RemanenceError, match="leave out --stream"):
        _ = large.streams("rows.jsonl", True, server=True)
    assert not large.streams("rows.jsonl", None, server=True)


def test_other_measures_than_those_kept_are_refused(many: tuple[Path, list[Record], Audit]) -> None:
    with pytest.raises(RemanenceError, match="keeps the scores of loss, zlib_ratio"):
        _ = rescore(many[2].run, ["exposure"])


def test_other_data_are_not_taken_for_the_same_run(many: tuple[Path, list[Record], Audit], tmp_path: Path) -> None:
    path, told, _ = many
    _ = stream_file(path, tmp_path / "run", told, show=False)
    short = write(tmp_path / "rows.jsonl", read_records(path)[:90])
    with pytest.raises(RemanenceError, match=r"other settings \(data\)"):
        _ = stream_file(short, tmp_path / "run", told, resume=True, show=False)


def test_the_python_twin_of_the_command_streams_and_reports(
    many: tuple[Path, list[Record], Audit], tmp_path: Path
) -> None:
    path, told, streamed = many
    options = {"prefixes": (0, 4), "new_tokens": 8, "generate_rows": 4, "schemes": ("T=1",), "show_progress": False}
    audit = api.audit(
        Parrot(tuple(told)), path, out=tmp_path / "run", stream=True, ranked_rows=5, in_memory_rows=10, **options
    )
    assert audit.verdict["headline"]["hits"] == streamed.verdict["headline"]["hits"]
    page = (tmp_path / "run" / "report.html").read_text()
    hits, n = (audit.verdict["headline"][key] for key in ("hits", "n"))
    assert f"{hits} of {n} rows are extracted." in page and f"The worst {5} are listed here" in page
    assert "one line per row" in page
    again = api.score(tmp_path / "run", ["loss"])
    assert again.verdict["headline"] == audit.verdict["headline"]
