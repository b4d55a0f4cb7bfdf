"""The verdict in the terminal fits a mail, names rows by id and never quotes them."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from remanence.core import schema
from remanence.core.run import Run
from remanence.report.terminal import verdict_plain

from .fake_match import secrets
from .fake_run import EVIL, fake_run, training_texts


def test_the_verdict_fits_a_mail(run: Run) -> None:
    text = verdict_plain(run)
    assert text.startswith("51 of 300 rows can be extracted word for word")
    assert max(len(line) for line in text.splitlines()) <= 96
    rates = next(line for line in text.splitlines() if line.startswith("Extracted word for word"))
    assert re.split(r" {2,}", rates) == [
        "Extracted word for word", "51 of 300", "17.0 %", "12.9 to 21.7", "0.5 %", "0.7 %", "+16.5",
    ]  # fmt: skip
    assert "100 samples, T=1,k=40" in text, "sampling is shown at about 100 samples"
    assert "Gate failed: excess>0.01" in text


def test_the_worst_rows_are_named_not_quoted(run: Run) -> None:
    text = verdict_plain(run)
    assert "chat-00277" in text
    assert not [secret for secret in training_texts(run) if secret[:30] in text and not secret.startswith(EVIL)]


def test_whose_words_the_answers_are_in_a_small_table(run: Run, tmp_path: Path) -> None:
    text = verdict_plain(run)
    head = next(line for line in text.splitlines() if line.startswith("Attribution"))
    assert head.split()[-7:] == ["words", "prompt", "common", "own", "row", "both", "other", "new"][1:]
    base = next(line for line in text.splitlines() if line.startswith("Base model, your rows"))
    assert re.split(r" {2,}", base)[2:] == ["8.3 %", "16.7 %", "0 %", "0 %", "0 %", "75.0 %"]
    assert "thresholds from one half of them flag 2 of 200" in " ".join(text.split()).replace("- ", "")
    assert "Attribution" not in verdict_plain(fake_run(tmp_path / "old", num_rows=30, detector=False))


def test_a_match_names_its_most_surprising_texts(match: Run) -> None:
    text = verdict_plain(match)
    assert text.startswith(" ".join(match.read_json("verdict.json")["sentences"][0].split()[:5]))
    assert max(len(line) for line in text.splitlines()) <= 96
    (rate,) = [line for line in text.splitlines() if line.startswith("Verbatim match with a row")]
    assert re.search(r" 5 of \d +\d\d.\d % ", rate)
    named = text[text.index("Most surprising texts") :].splitlines()[1:6]
    assert sum("(the prompted row)" in line for line in named) == 3
    assert any(re.search(r"two-rows +verbatim, \d+ bits, from +train-\d+$", line) for line in named)
    assert not [secret for secret in secrets(match) if secret[:30] in text and len(secret) > 20]


def test_what_was_not_given_has_no_column(tmp_path: Path) -> None:
    text = verdict_plain(fake_run(tmp_path / "run", num_rows=30, base=False, heldout=False))
    assert "floor" not in text.split("Worst rows")[0] and "No held-out rows were given" in text


def test_square_brackets_in_an_id_are_no_markup(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", num_rows=30)
    table = run.read_table("ranking").to_pylist()
    table[0]["id"] = "[red]x[/red]\x1b[2J"
    run.write_table("ranking", pa.Table.from_pylist(table, schema.RANKING))
    assert "[red]x[/red]\ufffd[2J" in verdict_plain(run)


def test_a_run_that_was_not_finished_says_so(tmp_path: Path) -> None:
    assert "no verdict" in verdict_plain(Run.begin(tmp_path / "run", {"schema": 1}))
