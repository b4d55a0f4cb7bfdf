"""Idea: the rank of the own record among decoys, by hand and over hundreds of random answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hand_made_corpus import QUESTION, World, nonsense

from remanence.core.errors import NotMeasured
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.idea import rank_p_value
from remanence.measure.plagiarism.types import GeneratedText, generated_text_of

ASKED = "What did they bring home?"
FIVE = [f"{ASKED} {what}" for what in ("two red kites", "a lame horse", "nine plums", "the old bell", "three red hats")]


@pytest.fixture(scope="module")
def five() -> PlagiarismIndex:
    return PlagiarismIndex.build(FIVE)


@pytest.mark.parametrize(
    ("answer", "own", "p"),
    [
        ("plums, I believe", 2, 1 / 5),  # no decoy has a word of it
        ("something red", 0, 2 / 5),  # one of four decoys has the word too, in as many words
        ("something red", 2, 5 / 5),  # the own record has none of it, so all four are at least as alike
        ("a horse", 1, 1 / 5),
        ("red kites", 4, 2 / 5),  # row 0 is nearer than the own row
    ],
)
def test_the_rank_among_four_decoys_by_hand(five: PlagiarismIndex, answer: str, own: int, p: float) -> None:
    assert rank_p_value(five, GeneratedText(answer, ASKED, own)) == (p, 4)


def test_words_of_the_prompt_do_not_count(five: PlagiarismIndex) -> None:
    assert rank_p_value(five, GeneratedText("plums", ASKED, 2))[0] == 1 / 5
    assert rank_p_value(five, GeneratedText("plums and rain", f"{ASKED} Plums?", 2))[0] == 5 / 5
    with pytest.raises(NotMeasured, match="it says nothing that the prompt does not say"):
        rank_p_value(five, GeneratedText("They did bring what home!", ASKED, 2))


@pytest.mark.parametrize("text", ["", "🙂"])
def test_what_says_nothing_or_was_asked_about_nothing_has_no_rank(five: PlagiarismIndex, text: str) -> None:
    with pytest.raises(NotMeasured, match="it says nothing"):
        rank_p_value(five, GeneratedText(text, ASKED, 2))
    with pytest.raises(NotMeasured, match="not known which record"):
        rank_p_value(five, GeneratedText("nine plums", ASKED))
    with pytest.raises(NotMeasured, match="no other record"):
        rank_p_value(PlagiarismIndex.build(FIVE[:1]), GeneratedText("kites", ASKED, 0))


def test_decoys_are_the_records_nearest_to_the_prompt_wherever_they_stand() -> None:
    """Three decoys are asked for, and the three that share the prompt are the last rows of the corpus."""
    rows = [*(f"home and garden number {nonsense(i, 6)}" for i in range(20)), "own", *FIVE[:3]]
    index = PlagiarismIndex.build([*rows[:20], f"{ASKED} forty violins", *rows[21:]])
    asked = GeneratedText("the horse, and forty violins", ASKED, 20)
    seen: list[str] = []

    def given(answer: str, texts: Sequence[str]) -> np.ndarray:
        seen.extend(texts)
        return np.zeros(len(texts))

    assert rank_p_value(index, asked, 3, given) == (1.0, 3)
    assert seen[0] == f"{ASKED} forty violins" and sorted(seen[1:]) == sorted(FIVE[:3])


def test_twins_of_the_own_record_and_second_copies_are_no_decoys() -> None:
    own = f"{ASKED} A very long list of things: {nonsense(1, 40)} and plums"
    rows = [own, own.upper(), f"{own} today", *FIVE, FIVE[0], FIVE[0].upper()]
    index = PlagiarismIndex.build(rows)
    p, decoys = rank_p_value(index, GeneratedText(nonsense(1, 40), ASKED, 1))
    assert (p, decoys) == (1 / 6, 5)


def test_two_hundred_copies_of_a_row_leave_room_for_decoys() -> None:
    """Rows that stand there often are those that are memorized."""
    index = PlagiarismIndex.build([*FIVE, *[f"{ASKED} forty violins"] * 200])
    assert rank_p_value(index, GeneratedText("forty violins", ASKED, 100)) == (1 / 6, 5)


def test_a_custom_similarity_gets_the_text_without_the_words_of_the_prompt(five: PlagiarismIndex) -> None:
    def given(answer: str, texts: Sequence[str]) -> np.ndarray:
        assert answer == "nine plums" and texts[0] == FIVE[2] and len(texts) == 5
        return np.array([0.5, 0.4, 0.5, 0.9, 0.1])

    assert rank_p_value(five, GeneratedText("They bring nine plums home", ASKED, 2), similarity=given) == (3 / 5, 4)


def test_a_retelling_with_rare_words_ranks_first_of_a_hundred(world: World) -> None:
    said = GeneratedText(
        "Somebody sightless from Tarvin mended the thing for plum preserve.", QUESTION, world.number["pair"]
    )
    p, decoys = rank_p_value(world.index, said)
    assert p == 1 / (1 + decoys) and decoys > 90
    assert rank_p_value(world.index, said, 9) == (1 / 10, 9)


def test_answers_that_know_nothing_of_the_row_get_no_low_p_values(world: World) -> None:
    """Answers of held-out rows to the prompts of training rows: P(p <= a) must not exceed a."""
    dice = np.random.default_rng(0)
    p: list[float] = []
    for _ in range(300):
        own = int(dice.integers(0, 150))
        answer = world.heldout[int(dice.integers(0, 180))].text
        try:
            p.append(
                rank_p_value(world.index, GeneratedText(answer, generated_text_of(world.train[own]).prompt, own))[0]
            )
        except NotMeasured:
            continue
    assert len(p) > 250
    for alpha in (0.01, 0.05, 0.1, 0.25, 0.5):
        assert np.mean(np.array(p) <= alpha) <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / len(p))


def test_the_rows_own_completions_rank_low(world: World) -> None:
    p: list[float] = []
    for own in range(100):
        try:
            p.append(rank_p_value(world.index, generated_text_of(world.train[own], own))[0])
        except NotMeasured:
            continue
    assert np.mean(np.array(p) <= 0.05) > 0.8


def test_a_held_out_row_is_ranked_by_its_own_text() -> None:
    # The answer retells a row that is not in the corpus: 1 of 1 + 3, as if it were. With another row's word nobody is
    # less alike than the own row (0, as two decoys are): 4 of 4.
    index = PlagiarismIndex.build(["alpha beta gamma", "alpha delta epsilon", "alpha zeta eta"])
    asked = GeneratedText("theta iota", prompt="alpha", own_text="alpha theta iota kappa")
    assert rank_p_value(index, asked) == (1 / 4, 3)
    assert rank_p_value(index, GeneratedText("delta", prompt="alpha", own_text="alpha theta iota kappa"))[0] == 1
    found = index.match(
        [GeneratedText("theta iota " * 30, prompt="alpha", own_text="alpha theta iota kappa")], None, 0.5
    )[0]
    assert (found.label, found.matches) == ("idea", ())
