"""Whose words: shares add up, thresholds are told with what came of them, texts stand most surprising first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from remanence.core import schema
from remanence.core.run import Run
from remanence.report.audit import Audit
from remanence.report.origins import calibration, calibration_line, shares, texts

from .fake_match import calibrated


def _line(attempt: int, words: tuple[int, ...], **more: Any) -> dict[str, Any]:
    counts = dict(zip(("prompt", "common", "own", "both", "other", "new"), words, strict=True))
    return {
        "attempt": attempt,
        "side": "said",
        "num_words": sum(words),
        "bits": 1.0,
        "most_bits": 9.0,
        **counts,
        **more,
    }


def _run(folder: Path, lines: list[dict[str, Any]], matches: list[dict[str, Any]] | None = None, **spec: Any) -> Audit:
    job = spec.pop("job", "match")
    run = Run.begin(folder, {"schema": 1, "job": job, "settings": {"alpha": 0.01, **spec}})
    who = {"target": "given", "group": "generated"} if job == "match" else {"target": "tuned", "group": "train"}
    asked = [{**who, "id": f"text-{i}", "answer": "x"} for i in range(len(lines))]
    run.write_table("attempts", pa.Table.from_pylist(asked, schema.ATTEMPTS))
    run.write_table("origins", pa.Table.from_pylist(lines, schema.ORIGINS))
    run.write_table("matches", pa.Table.from_pylist(matches or [], schema.MATCHES))
    run.write_table("calibration", pa.Table.from_pylist(calibrated(), schema.CALIBRATION))
    return Audit.read(run)


def _match(attempt: int, kind: str, bits: float | None, p: float, row: int = 0) -> dict[str, Any]:
    return {"attempt": attempt, "kind": kind, "whose": "other", "train_row": row, "train_id": f"row-{row}",
            "bits": bits, "p_value": p}  # fmt: skip


def test_shares_are_of_all_words(tmp_path: Path) -> None:
    audit = _run(tmp_path, [_line(0, (1, 2, 3, 0, 0, 4)), _line(1, (0, 0, 0, 1, 1, 8))])
    (bar,) = shares(audit)
    assert (bar.num_texts, bar.num_words) == (2, 20)
    assert [(p.origin, p.words, p.width) for p in bar.parts] == [
        ("prompt", 1, 5.0), ("common", 2, 10.0), ("own", 3, 15.0), ("both", 1, 5.0), ("other", 1, 5.0),
        ("new", 12, 60.0),
    ]  # fmt: skip


def test_where_no_text_was_asked_about_a_row_none_is_its_own(tmp_path: Path) -> None:
    (bar,) = shares(_run(tmp_path, [_line(0, (0, 0, 0, 0, 5, 5))]))
    assert [p.name for p in bar.parts] == ["From the prompt", "Common phrase", "Training row", "New"]


def test_the_ceiling_of_an_audit_has_a_bar_of_its_own(tmp_path: Path) -> None:
    lines = [_line(0, (0, 0, 1, 0, 0, 1)), {**_line(0, (0, 0, 2, 0, 0, 0)), "side": "ceiling"}]
    said, best = shares(_run(tmp_path, lines, job="audit"))
    assert (said.who, said.short, said.num_words, best.who, best.parts[2].width) == (
        "tuned",
        "Your rows",
        2,
        "ceiling",
        100,
    )


def test_the_published_detector_tells_no_shares_and_no_bits(tmp_path: Path) -> None:
    audit = _run(tmp_path, [_line(0, (0, 0, 0, 0, 0, 5))], detector="pan2015")
    assert shares(audit) == []
    assert (texts(audit)[0]["bits"], texts(audit)[0]["copied"]) == (None, None)


def test_texts_without_words_have_no_bar(tmp_path: Path) -> None:
    assert shares(_run(tmp_path, [_line(0, (0, 0, 0, 0, 0, 0))])) == []


def test_thresholds_stand_beside_what_came_of_them(tmp_path: Path) -> None:
    found = calibration(_run(tmp_path, []))
    assert found is not None and found.alphas == ["0.1\u00a0%", "1\u00a0% (requested)"]
    name, realised, rows = found.kinds[0]
    assert name == "Verbatim"
    assert [cell and (cell.rate, cell.count) for cell in realised] == [
        ("0\u00a0%", "0 of 200"),
        ("1.0\u00a0%", "2 of 200"),
    ]
    assert [length for length, _ in rows] == ["1 to 10 words", "11 words or more"]
    assert [cell and (cell.rate, cell.count) for cell in rows[0][1]] == [
        ("40 bits", "1,200 pieces, few"), ("40 bits", "1,200 pieces"),
    ]  # fmt: skip
    assert rows[1][1][0] is None, "refused"
    assert found.remarks[0] == "no threshold: 400 held-out texts cannot calibrate a false-positive rate of 0.1 %"
    assert found.remarks[1].startswith("few: ")


def test_calibration_in_one_sentence(tmp_path: Path) -> None:
    sentence = calibration_line(_run(tmp_path, [])).replace("\u00a0", " ")
    assert sentence.startswith(
        "Thresholds are set to flag 1 % of held-out texts; thresholds from one half of them flag 2 of 200 (1.0 %, 0"
    )


def test_the_most_surprising_text_stands_first(tmp_path: Path) -> None:
    lines = [
        _line(0, (0, 0, 0, 0, 0, 9), p_value=0.5),
        _line(1, (0, 0, 0, 0, 0, 9), p_value=0.9, reason="it has no words"),
        _line(2, (0, 0, 0, 0, 6, 3), label="verbatim", bits=50.0, p_value=0.005, q_value=0.02),
        _line(3, (0, 0, 0, 0, 0, 9), label="paraphrase", p_value=0.7, q_value=0.9, paraphrase_p=0.001),
        _line(4, (0, 0, 0, 0, 9, 0), label="verbatim", bits=80.0, p_value=0.005, q_value=0.02),
    ]
    matches = [_match(2, "verbatim", 50.0, 0.005), _match(2, "verbatim", 45.0, 0.009, 1),
               _match(3, "paraphrase", 44.0, 0.001, 2), _match(4, "verbatim", 80.0, 0.005)]  # fmt: skip
    found = texts(_run(tmp_path, lines, matches))
    assert [line["id"] for line in found] == ["text-3", "text-4", "text-2", "text-0", "text-1"]
    assert [line["found"] for line in found] == ["paraphrase", "verbatim", "verbatim", "none", "not measurable"]
    assert found[2]["rows"] == 2 and found[2]["train_id"] == "row-0" and found[2]["copied"] == pytest.approx(6 / 9)
    assert found[0]["q_value"] is None, "q is of the words in runs, which this text has none of"


def test_a_run_without_these_tables_has_none_of_it(tmp_path: Path) -> None:
    audit = Audit.read(Run.begin(tmp_path, {"schema": 1, "job": "audit"}))
    assert (shares(audit), calibration(audit), calibration_line(audit), texts(audit)) == ([], None, "", [])
