"""Output for a CI server: Markdown for a pull request, JUnit XML among the tests."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pytest

from remanence.core import schema
from remanence.core.errors import RemanenceError
from remanence.core.run import Run
from remanence.report.junit import junit, write_junit
from remanence.report.summary import append_summary, markdown, plain

from .fake_run import EVIL, training_texts


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> Run:
    """A run whose verdict may be changed."""
    shutil.copytree(run.folder, tmp_path / "run")
    return Run.open(tmp_path / "run")


def with_gate(run: Run, failed: bool | None) -> Run:
    verdict = run.read_json("verdict.json")
    verdict["fail_if"] = {"rule": "excess>0.01", "failed": failed}
    if failed is None:
        verdict["cannot_claim"].append("--fail-if 'excess>0.01' cannot be decided: no row allowed it to be measured.")
    run.write_json("verdict.json", verdict)
    return run


def test_the_summary_has_the_verdict_the_rates_and_the_rows(run: Run) -> None:
    text = markdown(run)
    lines = text.splitlines()
    assert lines[0] == r"### Memorization gate failed: excess\>0.01"
    assert lines[2].startswith("**51 of 300 rows can be extracted word for word")
    assert "| training rows | 51 of 300 | 17.0 % | 12.9 to 21.7 |" in lines
    assert any(line.startswith("| held-out rows (the floor) | 1 of 200 | 0.5 %") for line in lines)
    assert any(line.startswith("| above the floor |  | +16.5 points |") for line in lines)
    assert "<summary>Extracted rows, worst first (20 of 51)</summary>" in text
    named = text.split("<details>")[1].split("</details>")[0]
    assert sum(line.startswith("| ") for line in named.splitlines()) == 1 + 20, "a head and twenty rows"


def test_the_summary_quotes_no_training_text(run: Run) -> None:
    text = markdown(run)
    assert not [secret for secret in training_texts(run) if secret[:30] in text and not secret.startswith(EVIL)]


def test_an_id_that_is_markup_stays_an_id(copied: Run) -> None:
    evil = "<script>|`x`\n# @everyone [a](b)"
    lines = copied.lines("ranking")
    lines[0] |= {"id": evil, "comes_back": True}
    copied.write_table("ranking", pa.Table.from_pylist(lines, schema=schema.RANKING))
    row = next(line for line in markdown(copied).splitlines() if "everyone" in line)
    assert row.startswith(r"| \<script\>\|\`x\`")
    assert row.count("|") - row.count(r"\|") == 5, "one row, four cells"
    assert r"\# \@everyone \[a\](b)" in row
    assert plain("a_b*c") == r"a\_b\*c"


def test_the_summary_is_added_to_what_is_there(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    append_summary(run, path)
    assert path.read_text() == "before\n" + markdown(run)
    with pytest.raises(RemanenceError, match="Cannot write the summary"):
        append_summary(run, tmp_path)


@pytest.mark.parametrize(("failed", "counts"), [(True, (1, 0)), (False, (0, 0)), (None, (0, 1))])
def test_the_gate_is_one_test(copied: Run, failed: bool | None, counts: tuple[int, int]) -> None:
    suite = ET.fromstring(junit(with_gate(copied, failed)).encode())[0]
    gate = suite[0]
    assert gate.get("name") == "--fail-if excess>0.01"
    assert (int(suite.get("failures", "")), int(suite.get("errors", ""))) == counts
    assert (gate.find("failure") is not None, gate.find("error") is not None) == (failed is True, failed is None)
    claims = [s for s in copied.read_json("verdict.json")["cannot_claim"] if "cannot be decided" not in s]
    assert int(suite.get("skipped", "")) == len(claims) and int(suite.get("tests", "")) == 1 + len(claims)


def test_a_run_without_a_gate_passes_and_says_what_it_cannot_claim(copied: Run) -> None:
    verdict = copied.read_json("verdict.json") | {"fail_if": None, "cannot_claim": ["No held-out rows were given."]}
    copied.write_json("verdict.json", verdict)
    suite = ET.fromstring(junit(copied).encode())[0]
    assert [case.get("name") for case in suite] == ["finished", "cannot claim 1"]
    assert suite[1][0].get("message") == "No held-out rows were given."


def test_xml_takes_no_control_characters(copied: Run, tmp_path: Path) -> None:
    verdict = copied.read_json("verdict.json")
    verdict["sentences"][0] = "bell \x07 and ]]> and <b>"
    copied.write_json("verdict.json", verdict)
    write_junit(copied, tmp_path / "deep" / "junit.xml")
    suite = ET.parse(tmp_path / "deep" / "junit.xml").getroot()[0]
    said = suite[0].findtext("system-out") or ""
    assert said.startswith("bell \ufffd and ]]> and <b>")


def test_a_forgetting_fails_when_its_goal_was_not_reached(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", {"job": "forget"})
    one = {
        "hits": 3, "n": 9, "removed": 0.625, "rise": 0.01, "auc": 0.75, "auc_low": 0.5, "auc_high": 0.9,
    }  # fmt: skip
    verdict = {
        "sentences": ["npo removes 62.5 %."], "notes": [], "reached": False, "guard": {"limit": 0.02, "goal": 0.95},
        "recommended": {"method": "npo"}, "before": one | {"hits": 8}, "judged": {"npo": one},
    }  # fmt: skip
    run.write_json("verdict.json", verdict)
    suite = ET.fromstring(junit(run).encode())[0]
    assert suite[0].get("name") == "removes 95% of the excess within 2% of loss"
    assert suite[0].find("failure") is not None
    text = markdown(run)
    assert text.startswith("### Forgetting: goal not reached")
    assert "| **npo** (recommended) | 3 of 9 | 62.5 % | +1.0 % | 0.75 (0.50 to 0.90) |" in text


def test_an_unfinished_run_has_no_verdict_to_tell(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", json.loads('{"job": "audit"}'))
    for tell in (markdown, junit):
        with pytest.raises(RemanenceError, match="was not finished"):
            tell(run)
