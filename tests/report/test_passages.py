"""Both sides of a match are lit where they share words, and nowhere else."""

from __future__ import annotations

from typing import Any

from remanence.report.passages import Span, count_words, cut, pair, shared_words, source_facts, source_title


def _match(start: int, end: int, record: str | None, kind: str = "verbatim", whose: str = "own") -> dict[str, Any]:
    return {"char_start": start, "char_end": end, "record_text": record, "kind": kind, "whose": whose, "words": 4,
            "bits": 40.4, "e_value": 1e-20, "p_value": 0.004, "train_id": "t7"}  # fmt: skip


def _lit(text: str, spans: list[Span], mark: str = "own") -> list[str]:
    return [text[s.start : s.end] for s in spans if s.mark == mark]


def test_the_words_that_both_have_are_lit() -> None:
    said, record = "she paid 30 crowns at noon", "He paid 30 crowns, at last."
    assert _lit(said, shared_words(said, record, 2, "own")) == ["paid 30 crowns at"]
    assert _lit(record, shared_words(record, said, 2, "own")) == ["paid 30 crowns, at"]


def test_single_words_are_lit_only_where_one_is_enough() -> None:
    assert shared_words("a b c", "c x a", 2, "own") == []
    assert shared_words("a b c", "c x a", 1, "own") == [Span(0, 1, "own"), Span(4, 5, "own")]


def test_marks_that_meet_are_cut_and_the_stronger_wins() -> None:
    spans = [Span(0, 13, "passage"), Span(0, 3, "own"), Span(10, 99, "other")]
    assert cut("one, two, six", spans) == [("own", "one"), ("passage", ", two, "), ("other", "six")]


def test_punctuation_in_a_passage_is_not_marked() -> None:
    assert cut("one, six", [Span(0, 8, "passage"), Span(0, 3, "own"), Span(5, 8, "own")])[1] == ("plain", ", ")


def test_a_change_inside_a_match_stays_dark_on_both_sides() -> None:
    text, record = "it was very cold in the old hall", "it was rather cold in the old hall"
    beside = pair({"answer": text, "prompt": ""}, [_match(0, len(text), record)])
    assert ("passage", " very ") in cut(text, beside.spans)
    assert _lit(record, beside.sources[0][1]) == ["it was", "cold in the old hall"]


def test_what_the_prompt_has_is_copied_not_remembered() -> None:
    attempt = {"answer": "the red fox ran home and slept", "prompt": "Say: the red fox ran home"}
    marks = cut(attempt["answer"], pair(attempt, [_match(0, 30, "the red fox ran home and slept")]).spans)
    assert marks == [("copied", "the red fox ran home"), ("own", " and slept")]


def test_several_matches_are_numbered_in_the_order_of_the_text() -> None:
    text = "one two three. Then four five six."
    later, first = _match(20, 34, "four five six"), _match(0, 13, "one two three", whose="other")
    beside = pair({"answer": text, "prompt": None}, [later, first])
    assert beside.starts == {0: 1, 20: 2}
    assert [match["char_start"] for match, _ in beside.sources] == [0, 20]
    assert pair({"answer": text, "prompt": None}, [first]).starts == {}


def test_an_idea_has_no_place() -> None:
    beside = pair({"answer": "some text", "prompt": ""}, [_match(0, 9, None, kind="idea")])
    assert beside.spans == [] and beside.sources[0][1] == []


def test_facts_say_how_surprising_without_a_word_of_the_text() -> None:
    match = _match(0, 9, "secret words")
    assert source_title(match, 2) == "2 · Training row t7"
    assert source_facts(match, "train") == [
        "Verbatim match with the prompted row.",
        "4 equal words, 40 bits; 1e-20 such matches are expected by chance (E-value).",
        "p = 0.004: the share of held-out texts of this length with at least as high a score.",
    ]
    assert source_facts({**match, "whose": "other"}, "train")[0] == "Verbatim match with a row that was not prompted."
    assert source_facts({**match, "whose": "other"}, "generated")[0] == "Verbatim match."
    bare = {**match, "bits": None, "e_value": None, "p_value": None}
    assert source_facts(bare, "generated") == ["Verbatim match with the prompted row."]


def test_words_are_counted_as_the_detector_counts_them() -> None:
    assert count_words("don't #Person1#:") == 3
