"""Words: what counts as one, and that the kernel says what plain Python says."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.text.words import LISTED, words_of

SPACELESS_NAMES = (
    *("CJK", "HIRAGANA", "KATAKANA", "HENTAIGANA", "BOPOMOFO", "VERTICAL KANA", "VERTICAL IDEOGRAPHIC", "MASU"),
    *("THAI ", "LAO ", "KHMER", "MYANMAR", "TIBETAN", "TAI ", "NEW TAI", "BALINESE", "JAVANESE", "YI ", "HANGZHOU"),
    *("TANGUT", "KHITAN", "NUSHU", "OLD CHINESE", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING", "IDEOGRAPHIC NUMBER"),
    "nameless",  # what Python 3.11 calls Tangut ideographs
)
ALPHABET = "abzABZéÉßİŉﬁ019٣ \n.,-_'’กำัา你好がガゃ한국אבشد́̈゛゙🙂❤️\u200d\u212b\u1112\u1161\u11ab\ud800Σσςक़ཀྵ"


def plain_words(text: str) -> list[tuple[int, int, str]]:
    """Start, end and folded form C of each word: the slow twin."""
    found: list[tuple[int, int, str]] = []
    begin, alone = -1, False
    for at, character in enumerate(text + "\n"):
        category = unicodedata.category(character)[0]
        letter = category in "LN"
        spaceless = letter and unicodedata.name(character, "nameless").removeprefix("HALFWIDTH ").startswith(
            SPACELESS_NAMES
        )
        if begin >= 0 and (category == "M" or (letter and not spaceless and not alone)):
            continue
        if begin >= 0:
            found.append((begin, at, unicodedata.normalize("NFC", text[begin:at]).casefold()))
        begin, alone = (at, spaceless) if letter else (-1, False)
    return found


def cut(text: str) -> list[str]:
    words = words_of([text])
    return [text[a:b] for a, b in zip(words.starts, words.ends, strict=True)]


def keys(text: str) -> list[int]:
    return words_of([text]).keys.tolist()


def test_words_by_hand():
    words = words_of(["It's 3 Naïve DOGS.", "", "dogs!"])
    assert words.offsets.tolist() == [0, 5, 5, 6]
    assert words.starts.tolist() == [0, 3, 5, 7, 13, 0] and words.ends.tolist() == [2, 4, 6, 12, 17, 4]
    assert words.keys[4] == words.keys[5]
    assert len(set(words.keys[:5].tolist())) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("再见 world再", ["再", "见", "world", "再"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("カタカナ", ["カ", "タ", "カ", "ナ"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("안녕 세상", ["안녕", "세상"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("no🙂emoji ❤️ at all", ["no", "emoji", "at", "all"]),
        ("snake_case a-b x.y", ["snake", "case", "a", "b", "x", "y"]),
        ("", []),
        (" \t…—", []),
    ],
)
def test_what_is_a_word(text, expected):
    assert cut(text) == expected


def test_folding_and_forms_do_not_matter():
    assert keys("STRASSE") == keys("straße") == keys("Strasse")
    assert keys("ΟΔΟΣ") == keys("οδος")
    for text in ("Ångström café", "한국어", "が", "क़", "ཀྵ"):
        composed, parted = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
        assert keys(composed) == keys(parted)
    parted = unicodedata.normalize("NFD", "un café noir")
    assert cut(parted)[1] == unicodedata.normalize("NFD", "café")  # places refer to the text as given


def test_every_character_is_cut_alike_in_both_forms():
    texts = [f"a {chr(code)}b {chr(code)}" for listed in LISTED for code in listed]
    composed, parted = (words_of([unicodedata.normalize(form, t) for t in texts]) for form in ("NFC", "NFD"))
    np.testing.assert_array_equal(composed.offsets, parted.offsets)
    np.testing.assert_array_equal(composed.keys, parted.keys)


def test_no_letter_is_left_out():
    listed = set(LISTED[0]) | set(LISTED[1])
    for code in range(sys.maxunicode + 1):
        if code not in listed:
            assert unicodedata.category(chr(code))[0] not in "LMN" and chr(code).casefold() == chr(code)


def test_the_scripts_without_spaces_are_those_of_the_names():
    codes = [code for listed in LISTED for code in listed]
    words = words_of([f"a{chr(code)}a" for code in codes])
    for code, count in zip(codes, np.diff(words.offsets).tolist(), strict=True):
        assert count == len(plain_words(f"a{chr(code)}a")), hex(code)


@given(st.lists(st.text(ALPHABET, max_size=24) | st.text(max_size=12), max_size=6))
def test_kernel_equals_plain_python(texts):
    words = words_of(texts)
    by_word: dict[str, int] = {}
    for i, text in enumerate(texts):
        mine = slice(int(words.offsets[i]), int(words.offsets[i + 1]))
        plain = plain_words(text)
        assert list(zip(words.starts[mine], words.ends[mine], strict=True)) == [(a, b) for a, b, _ in plain]
        for (_, _, word), key in zip(plain, words.keys[mine].tolist(), strict=True):
            assert by_word.setdefault(word, key) == key
    assert len(set(by_word.values())) == len(by_word)


def test_keys_are_the_same_on_every_machine():
    assert keys("remanence 再") == [13722604225202335140, 10801421701075554913]
