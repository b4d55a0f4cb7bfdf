"""What leaves a run as evidence: spans cut where they begin and end, and only shapes unless revealed."""

from __future__ import annotations

from typing import Any

from remanence.report.evidence import pieces, shape, size


def _match(start: int | None, end: int | None, whose: str = "own", in_prompt: bool = False) -> dict[str, Any]:
    return {"char_start": start, "char_end": end, "whose": whose, "in_prompt": in_prompt}


def test_the_recovered_span_is_lit() -> None:
    assert pieces("call 555 now", [_match(5, 8)]) == [("plain", "call "), ("own", "555"), ("plain", " now")]


def test_a_rows_own_text_wins_over_another_row() -> None:
    found = pieces("abcdef", [_match(0, 4), _match(2, 6, "corpus")])
    assert found == [("own", "ab"), ("own", "cd"), ("corpus", "ef")]


def test_what_stood_in_the_prompt_is_not_lit() -> None:
    assert pieces("ab cd", [_match(3, 5, in_prompt=True)]) == [("plain", "ab "), ("copied", "cd")]


def test_pieces_put_together_are_the_text() -> None:
    text = "a\U0001f642 \u05e9\u05dc\u05d5\u05dd b"
    matches = [_match(1, 4), _match(3, 99, "corpus"), _match(None, None), _match(5, 5)]
    assert "".join(piece for _, piece in pieces(text, matches)) == text


def test_empty_text_has_no_pieces() -> None:
    assert pieces("", [_match(0, 0)]) == []


def test_shape_tells_lengths_only() -> None:
    assert shape("Call Anna  at 555-0199\n") == [4, 4, 2, 8]
    assert size("Call Anna") == "2 words, 9 characters"
    assert size("x") == "1 word, 1 character"
