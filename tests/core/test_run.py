"""A run folder is whole or absent, taken up again only for the very same run, and says what stands in its way."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from remanence.core import run as run_module
from remanence.core.errors import RemanenceError
from remanence.core.run import Run, fingerprint, refuse_taken

SPEC = {"model": "tiny", "seed": 0, "prefixes": [0, 8]}
TABLE = pa.table({"id": ["a", "b"], "score": [0.5, None]})


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def refusal(act: Callable[[], Any]) -> str:
    """The one sentence with which it is refused."""
    with pytest.raises(RemanenceError) as caught:
        act()
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_a_run_begins_with_what_was_asked(tmp_path: Path):
    run = Run.begin(tmp_path / "deep" / "run", SPEC)
    assert files(run.folder) == ["run.json"] and run.spec == SPEC
    assert json.loads((run.folder / "run.json").read_text()) == SPEC
    assert Run.open(run.folder).spec == SPEC


def test_what_is_written_is_read_back(tmp_path: Path):
    run = Run.begin(tmp_path / "run", SPEC)
    run.write_table("tokens/a-00000", TABLE)
    run.write_json("notes.json", {"länge": 3})
    assert run.read_table("tokens/a-00000").equals(TABLE)
    assert run.lines("tokens/a-00000") == [{"id": "a", "score": 0.5}, {"id": "b", "score": None}]
    assert run.read_json("notes.json") == {"länge": 3} and run.has("notes.json") and not run.has("other")


def test_the_same_table_gives_the_same_bytes(tmp_path: Path):
    one, other = Run.begin(tmp_path / "one", SPEC), Run.begin(tmp_path / "other", SPEC)
    one.write_table("t", TABLE)
    other.write_table("t", pa.table(TABLE.to_pydict(), schema=TABLE.schema))
    assert (one.folder / "t.parquet").read_bytes() == (other.folder / "t.parquet").read_bytes()
    assert (one.folder / "run.json").read_bytes() == (other.folder / "run.json").read_bytes()


def test_shards_come_in_order_up_to_the_first_gap(tmp_path: Path):
    run = Run.begin(tmp_path / "run", SPEC)
    for index in (0, 1, 3):
        run.write_table(f"t-{index:05d}", pa.table({"n": [index]}))
    assert [shard["n"][0].as_py() for shard in run.shards("t")] == [0, 1]


# ------------------------------------------------------------------------ taking up


def test_a_folder_with_a_run_is_only_gone_on_with_when_asked(tmp_path: Path):
    Run.begin(tmp_path / "run", SPEC).write_table("t", TABLE)
    assert "--resume" in refusal(lambda: Run.begin(tmp_path / "run", SPEC))
    assert Run.begin(tmp_path / "run", SPEC, resume=True).read_table("t").equals(TABLE)


def test_other_settings_are_named_and_refused(tmp_path: Path):
    Run.begin(tmp_path / "run", SPEC)
    other = {**SPEC, "seed": 1, "new": True}
    assert "(new, seed)" in refusal(lambda: Run.begin(tmp_path / "run", other, resume=True))
    assert Run.open(tmp_path / "run").spec == SPEC


def test_resume_of_nothing_begins(tmp_path: Path):
    assert Run.begin(tmp_path / "run", SPEC, resume=True).spec == SPEC


def test_leftovers_of_a_killed_process_are_swept_away(tmp_path: Path):
    run = Run.begin(tmp_path / "run", SPEC)
    run.write_table("tokens/a-00000", TABLE)
    (run.folder / "tokens" / "a-00001.parquet.part").write_bytes(b"half a tab")
    (run.folder / "report.html.part").write_text("<html")
    Run.begin(run.folder, SPEC, resume=True)
    assert files(run.folder) == ["run.json", "tokens/a-00000.parquet"]


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "not empty and not a run" in refusal(lambda: Run.begin(tmp_path, SPEC, resume=True))
    assert files(tmp_path) == ["thesis.tex"]


def test_a_folder_that_is_no_run_is_not_opened(tmp_path: Path):
    assert "has no run.json" in refusal(lambda: Run.open(tmp_path))
    assert "has no run.json" in refusal(lambda: Run.open(tmp_path / "nowhere"))


def test_a_table_that_is_not_there_says_that_the_run_is_not_finished(tmp_path: Path):
    run = Run.begin(tmp_path / "run", SPEC)
    assert "no table findings" in refusal(lambda: run.read_table("findings"))


# ------------------------------------------------------------------- whole or absent


def test_a_file_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = Run.begin(tmp_path / "run", SPEC)
    run.write_table("t", TABLE)
    before = (run.folder / "t.parquet").read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    for name in ("t", "new"):
        with pytest.raises(KeyboardInterrupt):
            run.write_table(name, pa.table({"other": [1]}))
    assert (run.folder / "t.parquet").read_bytes() == before and not run.has("new.parquet")


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = Run.begin(tmp_path / "run", SPEC)
    seen: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append(files(run.folder)))
    run.write_text("a.txt", "whole")
    assert seen == [["a.txt.part", "run.json"]] and files(run.folder) == ["a.txt", "run.json"]


# ----------------------------------------------------------------------- bad places


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("what", ["table", "text"])
def test_a_full_disk_says_so_and_keeps_what_is_measured(tmp_path: Path, what: str):
    run = Run.begin(tmp_path / "run", SPEC)
    run.write_table("t-00000", TABLE)
    if what == "table":
        (run.folder / "t-00001.parquet.part").symlink_to("/dev/full")
        said = refusal(lambda: run.write_table("t-00001", TABLE))
    else:
        (run.folder / "a.txt.part").symlink_to("/dev/full")
        said = refusal(lambda: run.write_text("a.txt", "x" * 100_000))
    assert "is full" in said and "--resume" in said and str(run.folder) in said
    again = Run.begin(run.folder, SPEC, resume=True)
    assert [t.num_rows for t in again.shards("t")] == [2] and files(run.folder) == ["run.json", "t-00000.parquet"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "is full"),
        (errno.EDQUOT, "is full"),
        (errno.EACCES, "Cannot write"),
        (errno.EROFS, "Cannot write"),
        (errno.EPERM, "Cannot write"),
    ],
)
def test_what_the_disk_says_becomes_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
):
    run = Run.begin(tmp_path / "run", SPEC)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_module.pq, "write_table", refuse)
    assert words in refusal(lambda: run.write_table("t", TABLE))
    assert not run.has("t.parquet")


def test_an_unknown_fault_is_not_dressed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = Run.begin(tmp_path / "run", SPEC)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "the disk is dying")

    monkeypatch.setattr(run_module.pq, "write_table", broken)
    with pytest.raises(OSError, match="dying"):
        run.write_table("t", TABLE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_someone_else_is_refused(tmp_path: Path):
    tmp_path.chmod(0o500)
    assert "Cannot write" in refusal(lambda: Run.begin(tmp_path / "run", SPEC))


@pytest.mark.parametrize("place", ["run", "run/deeper"])
def test_a_file_in_the_way_is_refused(tmp_path: Path, place: str):
    (tmp_path / "run").write_text("I am a file")
    assert "Cannot write" in refusal(lambda: Run.begin(tmp_path / place, SPEC))
    assert (tmp_path / "run").read_text() == "I am a file"


def test_a_folder_in_the_place_of_a_table_is_refused(tmp_path: Path):
    run = Run.begin(tmp_path / "run", SPEC)
    (run.folder / "t.parquet").mkdir()
    assert "Cannot write" in refusal(lambda: run.write_table("t", TABLE))


# --------------------------------------------------------------------- fingerprints


def test_a_fingerprint_tells_where_parts_begin():
    assert fingerprint(b"ab", b"c") != fingerprint(b"a", b"bc") != fingerprint(b"abc")
    assert fingerprint(b"ab", b"c") == fingerprint(b"ab", b"c") and len(fingerprint()) == 16


def test_what_a_kill_at_the_first_write_leaves_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run.json.part").write_text("{")
    assert Run.begin(tmp_path, {"a": 1}).spec == {"a": 1}
    assert not (tmp_path / "run.json.part").exists()


def test_a_taken_folder_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    Run.begin(tmp_path, {"a": 1})
    with pytest.raises(RemanenceError, match="already holds a run"):
        refuse_taken(tmp_path)
    refuse_taken(tmp_path, resume=True)
