"""The audit of canaries on parrots: what was told is exposed in full, what was not is chance, and runs resume."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import made_up
import numpy as np
import pytest

import remanence
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.table import Rendered, TokenRow
from remanence.jobs.canaries.audit import CanaryAudit, run_canary_audit, with_secret
from remanence.jobs.canaries.key import Key
from remanence.jobs.canaries.plant import plant
from remanence.jobs.canaries.settings import CanarySettings
from remanence.models.parrot import Parrot
from remanence.report.html import write_report
from remanence.report.terminal import verdict_plain


@pytest.fixture
def key(tmp_path: Path) -> Key:
    data = made_up.write(tmp_path / "rows.jsonl")
    plant(data, made_up.key(12, 32), (1, 4), tmp_path / "planted.jsonl", tmp_path / "key.json", 0)
    return Key.read(tmp_path / "key.json")


def told(key: Key, least: int = 1) -> Parrot:
    wanted = {one.id for one in key.of("canary") if one.copies >= least}
    return Parrot(tuple(record for record in key.records("canary") if record.id in wanted))


def audited(key: Key, target: Parrot, out: Path, base: Parrot | None = None, **settings: Any) -> CanaryAudit:
    return run_canary_audit(target, base, key, out, CanarySettings(**settings), show=False)


def test_a_perfect_memorizer_has_all_the_bits_there_are(key: Key, tmp_path: Path) -> None:
    # 16 controls per band: every canary is first of 17.
    result = audited(key, told(key), tmp_path / "run", Parrot())
    for line in result.summary()[1:]:
        assert line["exposure"] == pytest.approx(math.log2(17)) and line["first"] == line["n"] == 6
        assert line["auc"] == 1 and line["back_hits"] == line["back_n"] == 6
    assert result.summary()[0]["back_hits"] == 0
    for line in result.summary("base"):
        assert line["exposure"] < 1.2 and line["back_hits"] == 0, "ties share the middle of their ranks"


def test_only_what_was_repeated_is_exposed_and_the_verdict_says_so(key: Key, tmp_path: Path) -> None:
    result = audited(key, told(key, least=4), tmp_path / "run", Parrot())
    once, often = result.summary()[1:]
    assert often["exposure"] == pytest.approx(math.log2(17)) and once["exposure"] < 1.2
    first, second, third = result.verdict["sentences"]
    assert (
        "4 times have a mean exposure of at least 4.1 bits (all 6 are more likely" in first and "chance is 1.2" in first
    )
    assert second.startswith("Exposure increases with repetition (rank correlation +1.00, p = 0.00")
    assert "6 of 6 planted 4 times, 0 of 6 planted once; for secrets never planted, 0 of 32" in third
    assert any("no base model" in note.lower() for note in audited(key, told(key), tmp_path / "b").verdict["notes"])


def test_a_model_that_never_saw_them_claims_no_trend(key: Key, tmp_path: Path) -> None:
    result = audited(key, Parrot(), tmp_path / "run")
    assert all(line["exposure"] < 1.2 and line["auc"] in (None, 0.5) for line in result.summary())
    assert not any("grows" in sentence for sentence in result.verdict["sentences"])


@dataclass(frozen=True)
class Digits(Parrot):
    """Likes a row better the smaller the number at its end is."""

    def score_rendered(self, rendered: Sequence[Rendered | str], columns: Sequence[str]) -> Iterator[TokenRow | str]:
        for row in rendered:
            assert isinstance(row, Rendered)
            number = int(self.decode(row.ids)[-2:])
            values = np.where(row.scored, -1.0 - number / 1000, np.nan).astype(np.float32)
            yield TokenRow(row, {n: values if n != "rank" else np.ones(row.ids.size, np.int32) for n in columns}, "x")


def test_digits_are_counted_through(key: Key, tmp_path: Path) -> None:
    # The smallest number is likeliest: 07 is eighth of 100, so log2 100 - log2 8 bits.
    numbers = [7, 99, 0, 31, 50, 12, 3, 64, 77, 18, 25, 42, *range(32)]
    numbered = [
        replace(c, secret=f"{n:02d}", row={**c.row, "completion": f"{c.row['completion']} {n:02d}"})
        for c, n in zip(key.canaries, numbers, strict=True)
    ]
    result = audited(replace(key, canaries=numbered), Digits(), tmp_path / "run")
    lines = {line["id"]: line for line in result.run.lines("exposures") if line["kind"] == "canary"}
    for one in numbered[:12]:
        assert lines[one.id]["counted"] == pytest.approx(math.log2(100) - math.log2(int(one.secret) + 1), abs=1e-6)
        assert lines[one.id]["counted_most"] == pytest.approx(math.log2(100))
    told = audited(replace(key, canaries=numbered), Digits(), tmp_path / "none", max_enumerated=99)
    assert {line["counted"] for line in told.run.lines("exposures")} == {None}


def test_another_secret_goes_into_the_place_of_the_own_one() -> None:
    assert with_secret(Record("t", text="code 007"), "007", "123").text == "code 123"
    assert with_secret(Record("p", prompt="7", completion="code 7"), "7", "5") == Record(
        "p", prompt="7", completion="code 5"
    )
    chat = Record("c", messages=({"role": "user", "content": "7"}, {"role": "assistant", "content": "7"}))
    assert with_secret(chat, "7", "5").messages == (chat.messages[0], {"role": "assistant", "content": "5"})  # type: ignore[index]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("lost", ["tokens/base-twin-00001.parquet", "exposures.parquet", "verdict.json"])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(key: Key, tmp_path: Path, lost: str) -> None:
    settings = CanarySettings(shard_rows=8)
    run_canary_audit(told(key), Parrot(), key, tmp_path / "run", settings, show=False)
    before = files(tmp_path / "run")
    names = list(before)
    order = ["tokens", "exposures.parquet", "secrets.json", "summary.parquet", "verdict.json"]
    after = order[order.index(lost.split("/")[0]) :]
    for name in names:  # as a kill would leave it: this file and what is written behind it are not there
        if name == lost or (name.split("/")[0] in after[1:]):
            (tmp_path / "run" / name).unlink()
    with pytest.raises(RemanenceError, match="add --resume"):
        run_canary_audit(told(key), Parrot(), key, tmp_path / "run", settings, show=False)
    run_canary_audit(told(key), Parrot(), key, tmp_path / "run", settings, resume=True, show=False)
    assert files(tmp_path / "run") == before


def test_a_key_that_was_not_planted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RemanenceError, match="never planted"):
        audited(made_up.key(), Parrot(), tmp_path / "run")


def test_the_report_and_the_terminal_hide_secrets_unless_asked(key: Key, tmp_path: Path) -> None:
    odd = [
        replace(
            c,
            secret="<script>alert(1)</script> house",
            row={**c.row, "completion": f"{c.row['completion']} <script>alert(1)</script> house"},
        )
        for c in key.canaries
    ]
    result = audited(replace(key, canaries=odd), told(key), tmp_path / "run", Parrot())
    hidden = write_report(result.run).read_text()
    assert "alert(1)" not in hidden and "Secrets are hidden" in hidden and "canary-0000" in hidden
    shown = write_report(result.run, reveal=True).read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; house" in shown and "<script>alert(1)" not in shown
    said = verdict_plain(result.run)
    assert "alert(1)" not in said and "Never planted" in said and max(map(len, said.splitlines())) <= 100
    assert str(tmp_path) not in hidden + (tmp_path / "run" / "run.json").read_text()


def test_python_twins_take_files_from_one_to_the_next(tmp_path: Path) -> None:
    data = made_up.write(tmp_path / "rows.jsonl")
    (tmp_path / "made.json").write_text(made_up.key(12, 32).text())
    done = remanence.plant_canaries(data, tmp_path / "made.json", out=tmp_path / "planted.jsonl")
    assert done.key == tmp_path / "planted.key.json" and done.inserted == 4 * (1 + 4 + 16)
    known = Key.read(done.key)
    result = remanence.audit_canaries(told(known), done.key, base=Parrot(), out=tmp_path / "run", show_progress=False)
    assert (tmp_path / "run" / "report.html").is_file()
    assert [line["copies"] for line in result.summary()] == [0, 1, 4, 16]
    assert remanence.remove_canaries(done.data, done.key, out=tmp_path / "back.jsonl").exact
