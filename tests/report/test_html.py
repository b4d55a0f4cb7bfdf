"""The report is one file that loads nothing, and training text is in it only when it is revealed."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import pyarrow as pa
import pytest

from remanence.core import schema
from remanence.core.run import Run
from remanence.report.html import write_report
from remanence.report.page import embedded
from remanence.report.words import NESTED

from .fake_run import EVIL, EVIL_TEXT, fake_run, training_texts
from .page import Page, without_vega

GOLDEN = Path(__file__).parents[1] / "golden" / "report.html"


def test_json_cannot_close_its_script_element() -> None:
    assert embedded("</script>&\u2028") == '"\\u003c/script\\u003e\\u0026\\u2028"'


def test_the_verdict_comes_first(hidden: Path) -> None:
    text = hidden.read_text("utf-8")
    assert text.index("51 of 300 rows can be extracted") < text.index("Limitations") < text.index("<h2>Rates")


def test_hidden_means_no_training_text_at_all(run: Run, hidden: Path) -> None:
    page = without_vega(hidden.read_text("utf-8"))
    ids = " ".join(line["id"] for line in run.lines("ranking"))
    words = {word for text in training_texts(run) for word in re.split(r"\s+", text)}
    secrets = {word for word in words if len(word) >= 6 and word not in ids and word not in {"invoice", "matter"}}
    assert len(secrets) > 300
    assert [word for word in secrets if word in page] == []
    assert [text for text in training_texts(run) if text in page] == []
    assert "remanence report RUN --reveal" in page


def test_hidden_evidence_is_lengths_of_words(run: Run, hidden: Path) -> None:
    first = Page(hidden.read_text("utf-8")).evidence()[0]
    attempt = run.lines("attempts")[run.lines("ranking")[0]["attempt"]]
    assert first["tuned"]["pieces"] == [["own", [len(word) for word in attempt["answer"].split()]]]


def test_what_is_told_of_an_answer(run: Run, hidden: Path) -> None:
    page = Page(hidden.read_text("utf-8"))
    first = page.evidence()[0]
    assert first["tuned"]["facts"][0] == "All 32 tokens equal those of the row."
    assert "Longest span shared with training row chat-other: 5 tokens" in first["base"]["facts"][-1]
    assert first["how"].startswith("16 tokens of the row in the prompt, 32 tokens generated, greedy")


def test_an_answer_stands_beside_the_training_row_it_is_from(run: Run, revealed: Path) -> None:
    first = Page(revealed.read_text("utf-8")).evidence()[0]
    attempt = run.lines("attempts")[run.lines("ranking")[0]["attempt"]]
    (pair,) = first["pairs"]
    assert pair["title"] == "Text of the fine-tuned model, compared with all training rows"
    (source,) = pair["sources"]
    assert source["title"] == f"Training row {attempt['id']}"
    assert "".join(piece for _, piece in source["pieces"]) == attempt["answer"]
    assert {kind for kind, _ in source["pieces"]} <= {"own", "plain"}
    assert source["facts"][1].endswith("bits; 1e-20 such matches are expected by chance (E-value).")


def test_whose_words_the_answers_are(hidden: Path) -> None:
    text = hidden.read_text("utf-8")
    section = text[text.index('<section id="origins">') : text.index('<section id="rows">')]
    assert section.count('class="stack"') == 3, "your rows, the base model, and the ceiling"
    assert "shares of their texts and not of all rows" in section
    assert "thresholds from one half of them flag 2 of 200" in section and "no threshold" in section


def test_rates_of_matches_stand_among_the_rates(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", num_rows=30)
    line = {**run.lines("rates")[0], "metric": "match", "by": "kind", "detail": "alpha=0.01"}
    kinds = [{**line, "value": kind, "order": order} for order, kind in enumerate(("verbatim", "paraphrase", "idea"))]
    run.write_table("rates", pa.Table.from_pylist([*run.lines("rates"), *kinds], schema.RATES))
    text = write_report(run).read_text("utf-8")
    names = [text.index(f'<th scope="row">{name}<small>at 1.0\u00a0% false positives') for name in NESTED.values()]
    assert names == sorted(names)


def test_a_run_from_before_the_detector_still_opens(tmp_path: Path) -> None:
    text = write_report(fake_run(tmp_path / "run", num_rows=30, detector=False), reveal=True).read_text("utf-8")
    assert "Attribution of the generated words" not in text
    pairs = [row["pairs"] for row in Page(text).evidence() if row]
    assert pairs and not any(pairs)


def test_revealed_text_is_whole(run: Run, revealed: Path) -> None:
    page = Page(revealed.read_text("utf-8"))
    attempts = run.lines("attempts")
    for line, found in zip(run.lines("ranking"), page.evidence(), strict=True):
        if line["attempt"] is None:
            assert found is None
            continue
        attempt = attempts[line["attempt"]]
        for said, text in ((found["prompt"], attempt["prompt"]), (found["tuned"], attempt["answer"])):
            assert "".join(piece for _, piece in said["pieces"]) == text
    assert EVIL_TEXT.startswith(page.evidence()[4]["prompt"]["pieces"][0][1])


@pytest.mark.parametrize("report", ["hidden", "revealed"])
def test_text_that_looks_like_a_script_stays_text(report: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(report).read_text("utf-8")
    page = Page(text)
    assert page.data["data-rows"]["id"][4] == EVIL
    assert len(page.code) == 4
    assert not [tag for tag, _ in page.tags if tag in {"img", "iframe", "link", "object", "base"}]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert EVIL not in text


def test_nothing_is_loaded_from_anywhere(revealed: Path) -> None:
    text = revealed.read_text("utf-8")
    page = Page(text)
    links = [a[k] for _, a in page.tags for k in ("src", "href", "action", "xlink:href", "srcset", "data") if a.get(k)]
    assert links and all(link and link.startswith("#") for link in links)
    own = without_vega(text)
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|import\(", own)


def test_the_browser_may_run_the_reports_own_scripts_only(hidden: Path) -> None:
    page = Page(hidden.read_text("utf-8"))
    policy = next(a["content"] or "" for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    hashes = {base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in page.code}
    assert set(re.findall(r"'sha256-([^']+)'", policy)) == hashes
    assert policy.startswith("default-src 'none'") and "unsafe-eval" not in policy


def test_the_same_run_gives_the_same_bytes(run: Run, hidden: Path, tmp_path: Path) -> None:
    again = write_report(fake_run(tmp_path / "elsewhere")).read_bytes()
    assert again == hidden.read_bytes()
    assert str(tmp_path).encode() not in again


def test_what_was_not_given_is_left_out_and_said(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", num_rows=30, base=False, heldout=False, attempts=False)
    text = write_report(run).read_text("utf-8")
    shown = re.sub(r"<script.*", "", text, flags=re.DOTALL)
    assert "No base model was given" in shown and "Base model, your rows" not in shown
    assert "No held-out rows were given" in shown and "held-out rows</span>" not in shown
    assert "no held-out rows were given" in shown, "membership says why it claims nothing"
    assert set(Page(text).evidence()) == {None}


def test_a_run_with_nothing_but_its_spec_still_opens(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", {"schema": 1, "remanence": "0.1.0", "job": "audit"})
    text = write_report(run).read_text("utf-8")
    assert "This run has no verdict" in text and "This run has no ranking" in text


def test_rows_that_were_never_measured_are_not_zeros(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", {"schema": 1})
    empty = dict.fromkeys(schema.RATES.names) | {"metric": "greedy", "by": "all", "hits": 0, "n": 0}
    run.write_table("rates", pa.Table.from_pylist([empty], schema.RATES))
    run.write_table("membership", schema.MEMBERSHIP.empty_table())
    run.write_table("ranking", schema.RANKING.empty_table())
    run.write_json("verdict.json", {"sentences": ["Nothing could be measured."], "headline": None})
    text = write_report(run).read_text("utf-8")
    assert "not measured" in text and "0 %</b>" not in text


def test_the_page_reads_as_it_did(tmp_path: Path) -> None:
    """Everything but styles, scripts and drawings; `REMANENCE_GOLDEN=write pytest tests/report` renews it."""
    text = write_report(fake_run(tmp_path / "run", num_rows=40, evil=False)).read_text("utf-8")
    text = re.sub(r"(<(style|script)\b[^>]*>).*?(?=</\2>)", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"<svg.*?</svg>", "<svg></svg>", text, flags=re.DOTALL)
    text = re.sub(r"sha256-[^']+", "sha256-", text)
    if os.environ.get("REMANENCE_GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8")
