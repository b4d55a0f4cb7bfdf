"""BM25 against the formula, worked out slowly on 20 texts."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from remanence.text.candidates import NOTE, Candidates, fingerprint_of

RNG = random.Random(3)
WORDS = [f"word{i}" for i in range(40)]
TEXTS = [" ".join(RNG.choices(WORDS, k=RNG.randint(3, 30))) for _ in range(20)]
QUERIES = [" ".join(RNG.choices(WORDS, k=6)) for _ in range(10)]


def slow_bm25(texts: list[str], query: str, k1: float = 1.2, b: float = 0.75) -> list[float]:
    """The formula; a word of the query counts once."""
    bags = [Counter(text.split()) for text in texts]
    mean = sum(bag.total() for bag in bags) / len(bags)
    scores = []
    for bag in bags:
        score = 0.0
        for word in set(query.split()):
            n = sum(word in other for other in bags)
            idf = math.log(1 + (len(bags) - n + 0.5) / (n + 0.5))
            score += idf * bag[word] * (k1 + 1) / (bag[word] + k1 * (1 - b + b * bag.total() / mean))
        scores.append(score)
    return scores


def test_the_rarer_shared_word_wins():
    # "cat" stands in two of three texts, "unicorn" in one: idf ln(1 + 1.5/2.5) = 0.47 against ln(1 + 2.5/1.5) = 0.98.
    texts = ["the cat sat", "the cat ran", "a unicorn slept"]
    top = Candidates.build(texts).top(["Unicorn, cat!"], k=3)
    assert top.ids.tolist() == [[2, 0, 1]]
    assert top.scores[0, 0] == pytest.approx(math.log(1 + 2.5 / 1.5), rel=1e-5)  # mean length: the rest is 1
    assert top.scores[0, 1] == pytest.approx(math.log(1 + 1.5 / 2.5), rel=1e-5)


@pytest.mark.parametrize("query", QUERIES)
def test_the_order_and_the_scores_of_the_formula(query: str):
    expected = slow_bm25(TEXTS, query)
    order = sorted((i for i in range(20) if expected[i] > 0), key=lambda i: (-round(expected[i], 5), i))
    top = Candidates.build(TEXTS).top([query], k=20)
    found = [i for i in top.ids[0].tolist() if i >= 0]
    assert found == order
    assert top.scores[0, : len(found)] == pytest.approx([expected[i] for i in order], rel=1e-4)


def test_equal_texts_come_in_the_order_of_the_corpus_however_many():
    index = Candidates.build(["same words here"] * 100 + ["other"])
    assert index.top(["same words"], k=10).ids.tolist() == [list(range(10))]


def test_reopened_from_disk_it_answers_alike_and_knows_its_corpus(tmp_path: Path):
    built = Candidates.build(iter(TEXTS), tmp_path / "index")
    opened = Candidates.open(tmp_path / "index")
    assert opened.num_texts == 20
    assert opened.fingerprint == built.fingerprint == fingerprint_of(TEXTS) != fingerprint_of([*TEXTS, ""])
    for a, b in zip(built.top(QUERIES), opened.top(QUERIES), strict=True):
        assert np.array_equal(a, b)


def test_common_words_can_be_left_out():
    index = Candidates.build([f"the text {i}" for i in range(10)])
    assert index.top(["the 3"], k=2).ids.tolist() == [[3, 0]]
    assert index.top(["the 3"], k=2, common=0.5).ids.tolist() == [[3, -1]]


@pytest.mark.parametrize(
    "query", ['"cat', "title:cat", "cat AND", "(cat", "cat~2^x [a TO", "*", "-cat +", "\ud800 cat \0"]
)
def test_a_query_is_words_whatever_it_looks_like(query: str):
    ids = Candidates.build(["a dog", "a cat", ""]).top([query], k=1).ids
    assert ids.tolist() == [[1 if "cat" in query else -1]]


def test_scripts_without_spaces_and_capitals_are_found():
    index = Candidates.build(["我喜欢猫", "我喜欢狗", "STRASSE"])
    assert index.top(["狗", "straße"], k=1).ids.tolist() == [[1], [2]]


def test_nothing_to_find():
    assert Candidates.build([]).top(["x"], k=2).ids.tolist() == [[-1, -1]]
    assert Candidates.build(["x"]).top(["", "y"], k=2).scores.tolist() == [[0, 0], [0, 0]]
    assert Candidates.build(["x"]).top([]).ids.shape == (0, 10)


def test_a_folder_in_use_is_not_overwritten_and_an_unfinished_one_not_read(tmp_path: Path):
    Candidates.build(["x"], tmp_path / "index")
    with pytest.raises(ValueError, match="not empty"):
        Candidates.build(["x"], tmp_path / "index")
    (tmp_path / "index" / NOTE).unlink()
    with pytest.raises(ValueError, match="no complete index"):
        Candidates.open(tmp_path / "index")


def test_an_index_of_other_rules_is_refused(tmp_path: Path):
    Candidates.build(["x"], tmp_path / "index")
    note = tmp_path / "index" / NOTE
    note.write_text(note.read_text().replace("words-1", "words-0"))
    with pytest.raises(ValueError, match=r"words-0.*Build it again"):
        Candidates.open(tmp_path / "index")
