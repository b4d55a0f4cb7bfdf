"""The command line: verdicts to stdout, progress to stderr, 0 for done, 2 for misuse, 3 for a gate that struck."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from remanence.core.run import Run

HEAVY = ("torch", "transformers", "pyarrow", "numpy", "sklearn", "altair", "numba", "peft")


def loaded_after(*arguments: str) -> set[str]:
    """The heavy modules that are loaded when a command has ended."""
    script = (
        "import sys\nfrom remanence.cli import app\nsys.argv = ['remanence', *sys.argv[1:]]\n"
        "try:\n    app.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print('loaded:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split()) & set(HEAVY)


# ------------------------------------------------------------------ at once


@pytest.mark.parametrize("arguments", [("--help",), ("audit", "--help"), ("list",), ("list", "--needs", "generates")])
def test_help_and_list_answer_at_once_because_nothing_heavy_is_loaded(arguments: tuple[str, ...]) -> None:
    assert loaded_after(*arguments) == set()


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, remanence; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & set(HEAVY)


def test_the_list_names_what_each_system_needs(remanence: Any) -> None:
    everything, some = remanence("list"), remanence("list", "--needs", "generates")
    assert everything.code == some.code == 0
    assert (
        "min_k_plus_plus" in everything.out
        and "needs a target that scores tokens, and the base model" in everything.out
    )
    assert "prefix" in some.out and "min_k" not in some.out
    lines = [json.loads(line) for line in remanence("list", "--format", "json").out.splitlines()]
    assert {"name", "wing", "caption", "paper", "needs"} <= lines[0].keys() and len(lines) >= 10


def test_a_need_that_no_system_has_is_answered_with_those_there_are(remanence: Any) -> None:
    said = remanence("list", "--needs", "telepathy")
    assert said.code == 2 and said.out == ""
    assert said.sentence.endswith("try generates, scores or opens.")


def test_without_arguments_the_commands_are_shown(remanence: Any) -> None:
    said = remanence()
    assert "audit" in said.out + said.err and "compare" in said.out + said.err


# ------------------------------------------------------------------ the audit


@pytest.fixture(scope="module")
def run_folder(place: Path) -> Path:
    """A finished run, made once by the command itself."""
    from remanence.jobs.api import audit

    grid: dict[str, Any] = {"prefixes": (0, 4, 8), "new_tokens": 12, "schemes": ("T=1",)}
    data = {"heldout": place / "held.jsonl", "base": place / "base"}
    _ = audit(place / "tuned", place / "rows.jsonl", **data, out=place / "run", show_progress=False, **grid)
    return place / "run"


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "copied"))


def test_the_verdict_goes_to_stdout_and_progress_to_stderr(audit: Any, place: Path, tmp_path: Path) -> None:
    said = audit(heldout=place / "held.jsonl", base=place / "base")
    assert said.code == 0
    assert said.out.startswith("8 of 8 rows can be extracted word for word")
    assert "tuned model on train rows" in said.err and "tuned model on" not in said.out
    assert f"report: {tmp_path / 'run' / 'report.html'}" in said.err and "report.html" not in said.out
    assert "Traceback" not in said.err and "Warning" not in said.err
    for secret in ("Anna Berg", "invoice"):  # training text is never shown here
        assert secret not in said.out + said.err + (tmp_path / "run" / "report.html").read_text()


def test_json_is_for_pipes(audit: Any, tmp_path: Path) -> None:
    said = audit("--format=json", "--generate=none")
    verdict = json.loads(said.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert verdict["headline"]["hits"] == 8 and len(verdict["sentences"]) == 2
    assert verdict == json.loads((tmp_path / "run" / "verdict.json").read_text())


@pytest.mark.parametrize(("rule", "code"), [("rate>0.5", 3), ("excess>0.01", 3), ("rate<0.5", 0), ("auc<0.5", 0)])
def test_a_gate_that_strikes_ends_with_3(audit: Any, place: Path, rule: str, code: int) -> None:
    said = audit(f"--fail-if={rule}", "--generate=none", heldout=place / "held.jsonl")
    assert said.code == code
    assert said.out.startswith("8 of 8 rows")  # the verdict is told either way
    assert (f"--fail-if '{rule}' holds." in said.err) is (code == 3)


def test_a_ci_server_is_told_in_its_own_words(audit: Any, remanence: Any, tmp_path: Path) -> None:
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    assert audit("--fail-if", "rate>0.1", "--summary", summary, "--junit", junit).code == 3
    told = summary.read_text(encoding="utf-8")
    assert told.startswith("### Memorization gate failed: rate\\>0.1\n")
    assert 'failures="1"' in junit.read_text(encoding="utf-8")
    assert remanence("report", tmp_path / "run", "--summary", summary, "--junit", tmp_path / "again.xml").code == 0
    assert summary.read_text(encoding="utf-8") == told * 2, "added, not written over"
    assert (tmp_path / "again.xml").read_bytes() == junit.read_bytes()


def test_a_run_is_gone_on_with_only_when_told(audit: Any) -> None:
    assert audit("--generate=none").code == 0
    again = audit("--generate=none")
    assert again.code == 2 and "add --resume to go on with it, or name another --out." in again.sentence
    assert audit("--generate=none", "--resume").code == 0


def test_columns_can_have_any_name(audit: Any, place: Path, tmp_path: Path) -> None:
    text = (place / "rows.jsonl").read_text().replace('"prompt"', '"frage"').replace('"completion"', '"antwort"')
    (tmp_path / "rows.jsonl").write_text(text.replace('"id"', '"nummer"'))
    options = ("--prompt-column=frage", "--completion-column=antwort", "--id-column=nummer", "--generate=none")
    said = audit(*options, data=tmp_path / "rows.jsonl")
    assert said.out.startswith("8 of 8 rows") and "learned-" in said.out


def test_rates_are_broken_down_by_columns_of_the_data(audit: Any, place: Path, tmp_path: Path) -> None:
    for name in ("rows", "held"):
        made = [json.loads(line) for line in (place / f"{name}.jsonl").read_text().splitlines()]
        made = [row | {"task": "ab"[i % 2], "source": i // 4, "year": 1} for i, row in enumerate(made)]
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in made))
    options = ("--by=task,source", "--by=year", "--budgets=6", "--generate=none")
    said = audit(*options, data=tmp_path / "rows.jsonl", heldout=tmp_path / "held.jsonl")
    assert said.code == 0
    at = said.out.index("By task, next 6 tokens")
    assert [line.split()[:4] for line in said.out[at:].splitlines()[2:4]] == [
        ["a", "4", "of", "4"], ["b", "4", "of", "4"],
    ]  # fmt: skip
    assert "By source, next 6 tokens" in said.out and "By year, next 6 tokens" in said.out
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<h2>By task</h2>" in page and "<h2>By year</h2>" in page


# ------------------------------------------------------------------ after the audit


def test_a_run_is_scored_again_when_the_model_is_long_gone(remanence: Any, place: Path, run: Path) -> None:

    whole = (run / "verdict.json").read_bytes(), (run / "rates.parquet").read_bytes()
    for folder in ("base", "tuned"):
        (place / folder).rename(place / f"{folder}-gone")
    try:
        said = remanence("score", run, "--measures", "loss")
        assert said.code == 0 and said.out.startswith("8 of 8 rows")
        measures = {f["measure"] for f in Run.open(run).lines("findings")}
        assert {m for m in measures if "discoverable" not in m} == {"loss", "extraction_strength"}
        assert remanence("score", run).code == 0
    finally:
        for folder in ("base", "tuned"):
            (place / f"{folder}-gone").rename(place / folder)
    assert ((run / "verdict.json").read_bytes(), (run / "rates.parquet").read_bytes()) == whole


def test_scoring_again_changes_no_byte_of_what_the_audit_wrote(remanence: Any, run_folder: Path, run: Path) -> None:
    """The Python twin without a model is the audit's own judge: every table comes out the same."""
    assert remanence("score", run).code == 0
    for path in run_folder.rglob("*.*"):
        assert (run / path.relative_to(run_folder)).read_bytes() == path.read_bytes(), path.name


def test_the_report_shows_training_text_only_when_told(remanence: Any, run: Path) -> None:
    assert remanence("report", run).code == 0
    assert "Anna Berg" not in (run / "report.html").read_text()
    said = remanence("report", run, "--reveal")
    assert said.code == 0 and "Anna Berg" in (run / "report.html").read_text()
    assert "Anna Berg" not in said.out and str(run / "report.html") in said.err


def test_two_runs_are_compared_row_by_row(remanence: Any, audit: Any, place: Path, run: Path, tmp_path: Path) -> None:
    assert audit("--generate=none", model=place / "base", out=tmp_path / "before").code == 0
    said = remanence("compare", run, tmp_path / "before")
    assert said.out.startswith(
        "Of 8 rows, 8 were extracted before and 0 are now: -100.0 points (95 % interval -100.0 to "
    )
    assert "no longer: learned-" in said.out and "The settings differ in generate." in said.out
    told = json.loads(remanence("compare", tmp_path / "before", run, "--format", "json").out)
    assert told["change"] == 1.0 and len(told["came"]) == 8 and told["went"] == []
    same = json.loads(remanence("compare", run, run, "--format", "json").out)
    assert same["change"] == 0 and same["low"] <= 0 <= same["high"] and same["notes"] == []


# ------------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    "arguments",
    [("audit",), ("audit", "--model"), ("audit", "--no-such-option"), ("shout",), ("compare", "one"), ("score",)],
)
def test_misuse_ends_with_2_and_says_how_it_is_used(remanence: Any, arguments: tuple[str, ...]) -> None:
    said = remanence(*arguments)
    assert said.code == 2 and said.out == "" and "Error: " in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("verb", ["report", "score", "compare"])
def test_what_is_no_run_is_said_to_be_none(remanence: Any, tmp_path: Path, verb: str) -> None:
    said = remanence(verb, tmp_path, *([tmp_path] if verb == "compare" else []))
    assert said.code == 2 and said.out == ""
    assert said.sentence.endswith("is not a run folder: it has no run.json.") and len(said.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["score", "compare", "report --format=json"])
def test_a_run_that_was_killed_half_way_is_said_to_be_unfinished(remanence: Any, run: Path, command: str) -> None:
    for name in ("verdict.json", "ranking.parquet"):
        (run / name).unlink()
    verb, *options = command.split()
    said = remanence(verb, run, *([run] if verb == "compare" else []), *options)
    assert said.code == 2 and "not finished" in said.sentence and "--resume" in said.sentence


def test_a_killed_run_still_has_a_report_that_says_so(remanence: Any, run: Path) -> None:
    (run / "verdict.json").unlink()
    said = remanence("report", run)
    assert said.code == 0 and "no verdict: add --resume" in said.out


@pytest.mark.parametrize("job", ["match", "forget", "canaries"])
def test_only_audits_are_scored_again_and_compared(remanence: Any, run: Path, tmp_path: Path, job: str) -> None:
    other = Run.begin(tmp_path / "other", {"job": job})
    other.write_json("verdict.json", {"sentences": ["done"]})
    for command in (("score", other.folder), ("compare", run, other.folder)):
        said = remanence(*command)
        assert said.code == 2 and f"other holds a run of `remanence {job}`, and only audits can be" in said.sentence


def test_a_comparison_with_a_base_model_needs_one(remanence: Any, audit: Any, tmp_path: Path) -> None:
    assert audit("--generate=none").code == 0
    said = remanence("score", tmp_path / "run", "--measures", "loss,reference")
    assert said.code == 2 and "reference compares with a base model" in said.sentence


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "remanence.cli.app", "audit", f"--model={place / 'tuned'}"]
    command += [f"--data={place / 'rows.jsonl'}", f"--out={tmp_path / 'run'}"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    while not (tmp_path / "run" / "run.json").exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130 and out == ""
    assert err.splitlines()[-1] == (
        "remanence: interrupted; run the same command with --resume to continue. "
        "Measurements are kept; a training starts again."
    )
    assert "Traceback" not in err
