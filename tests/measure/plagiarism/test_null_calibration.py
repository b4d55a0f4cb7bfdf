"""What chance looks like: thresholds and p-values agree, false alarms are as rare as asked, quotations do not count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hand_made_corpus import ANSWER, COPIED, HARBOUR, QUOTED, World, nonsense

from remanence.corpora.casebook.corpus import private_corpus
from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import (
    LENGTHS,
    WEIGHTS,
    WHOLE_TEXT,
    NullCalibration,
    NullScores,
    e_value_threshold,
    lengths_for,
)
from remanence.measure.plagiarism.types import GeneratedText, generated_text_of
from remanence.text.background import GivenBits
from remanence.text.words import words_of

KINDS = ("verbatim", "paraphrase")


def texts(*said: str) -> list[GeneratedText]:
    return [GeneratedText(text, heldout=i) for i, text in enumerate(said)]


def with_scores(world: World, scores: dict[int, list[float]]) -> NullCalibration:
    nulls = {n: NullScores(np.array(s), np.arange(len(s)), np.full(len(s), n or 10)) for n, s in scores.items()}
    return replace(
        world.calibration, nulls={"verbatim": nulls, "paraphrase": nulls}, num_heldout=len(scores[WHOLE_TEXT])
    )


def test_the_threshold_by_hand(world: World) -> None:
    """Of 19 held-out pieces the second highest is the threshold at 1 in 10: p = (1 + 1) / (1 + 19), of which the kind
    has its share of alpha."""
    calibration = with_scores(world, {WHOLE_TEXT: [0.0] * 19, 10: [*range(19)]})
    words = np.array([10, 10, 10])
    for kind, share in WEIGHTS.items():
        assert calibration.threshold(kind, 0.1 / share, words).tolist() == [17.0] * 3
        p = calibration.p_values(kind, np.array([18.5, 18.0, 16.5]), words)
        assert p == pytest.approx(np.array([1, 2, 3]) / 20 / share)
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert calibration.threshold("verbatim", 0.05, words).tolist() == [np.inf] * 3
    assert "19 held-out texts cannot calibrate" in calibration.missing_thresholds("verbatim", 0.05)[0]


def test_without_held_out_texts_the_e_value_sets_the_limit() -> None:
    """By hand: 8 words against 128 are 2^10 places, and 2^-10 of them at alpha = 1/4 need 12 bits."""
    assert e_value_threshold(0.25, np.array([8, 16]), 128).tolist() == [12.0, 13.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_p_is_at_most_alpha_exactly_where_the_limit_is_exceeded(world: World, kind: str, alpha: float) -> None:
    dice = np.random.default_rng(0)
    nulls = np.concatenate([null.scores for null in world.calibration.nulls[kind].values()])
    scores = np.concatenate([nulls, nulls + 1e-9, dice.uniform(0, 200, 500)])
    words = dice.integers(0, 150, scores.size)
    p = world.calibration.p_values(kind, scores, words)
    assert ((p <= alpha) == (scores > world.calibration.threshold(kind, alpha, words))).all()
    assert p.min() > 0 and p.max() <= 1


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_judgements_flag_exactly_what_has_a_low_p(world: World, alpha: float) -> None:
    said = [generated_text_of(record, own=i) for i, record in enumerate(world.train[:60])] + world.heldout
    judged = world.index.match(said, world.calibration, alpha, decoys=0)
    assert {one.label for one in judged} >= {None, "verbatim"}
    for one in judged:
        assert one.p_value is not None and one.paraphrase_p is not None
        if one.reason is None:
            assert (one.label == "verbatim") == (one.p_value <= alpha)
            assert (one.label is not None) == (min(one.p_value, one.paraphrase_p) <= alpha)
        assert all(match.p_value is not None and match.p_value <= alpha for match in one.matches)


def test_longer_texts_never_get_a_lower_threshold(world: World) -> None:
    for kind in KINDS:
        for alpha in (0.02, 0.05, 0.2):
            limits = world.calibration.threshold(kind, alpha, np.arange(1, 200))
            assert (limits[1:] >= limits[:-1]).all()


def test_lengths_grow_by_a_quarter_and_only_those_that_occur_are_taken() -> None:
    assert lengths_for(np.array([3, 10, 55, 60])) == (10, 64)
    assert lengths_for(np.array([101, 12])) == (13, 125)
    assert lengths_for(np.array([], np.int64)) == lengths_for(np.array([0])) == (10,)


def test_a_length_of_its_own_is_not_held_against_short_pieces_either(world: World) -> None:
    """Where only long texts are judged there is only one length, and held-out texts of ten words say nothing of it."""
    calibration = NullCalibration.fit(
        world.index, texts(*(" ".join(one.text.split()[:10]) for one in world.heldout)), (64,)
    )
    assert calibration.threshold("verbatim", 0.05, np.array([60])).tolist() == [np.inf]


@pytest.fixture(scope="module")
def casebook() -> tuple[PlagiarismIndex, NullCalibration, list[GeneratedText]]:
    """A casebook: its index, what one half of the held-out rows reaches, and the other half without quotations."""
    made = private_corpus(3, 900, (1, 2), 1000)
    index = PlagiarismIndex.build(made.train)
    first, second = (
        [generated_text_of(r, heldout=i) for i, r in enumerate(part)]
        for part in (made.heldout[::2], made.heldout[1::2])
    )
    quoting = NullCalibration.fit(index, second).quoting
    return (
        index,
        NullCalibration.fit(index, first),
        [replace(one, heldout=-1) for one in np.array(second, object)[~quoting]],
    )


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_rows_that_set_no_threshold_are_flagged_about_as_often_as_asked(casebook: object, alpha: float) -> None:
    index, calibration, others = casebook  # type: ignore[misc]
    for kind in KINDS:
        rate = calibration.false_positive_rate(kind, alpha)
        assert rate.low <= alpha, "crosswise, within its interval"
    judged = index.match(others, calibration, alpha)
    measured = [one for one in judged if one.reason is None]
    hits = sum(one.label == "verbatim" for one in measured)
    room = 3 * np.sqrt(alpha * (1 - alpha) * 2 / len(measured))  # both halves vary
    assert len(measured) > 250 and hits / len(measured) <= alpha + room


def test_texts_of_50_words_are_not_held_against_pieces_of_12(casebook: object) -> None:
    """Twelve words agree with less than fifty: such pieces set no threshold for them, and it says so."""
    index, _, others = casebook  # type: ignore[misc]
    short = texts(*(" ".join(one.text.split()[:12]) for one in others))
    calibration = NullCalibration.fit(index, short)
    assert np.isfinite(calibration.threshold("verbatim", 0.05, np.array([10, 15]))).all()
    assert np.isinf(calibration.threshold("verbatim", 0.05, np.array([50, 100]))).all()
    found = index.match([GeneratedText(HARBOUR)], calibration, 0.05)[0]
    assert found.label is None and found.reason == "too few held-out texts set a threshold for texts of its length"


# ------------------------------------------------------------------ quotations, common phrases


def test_quotations_of_training_rows_are_counted_and_left_out(world: World) -> None:
    more = [
        *(one.text for one in world.heldout[:40]),
        HARBOUR,
        f"{COPIED} {nonsense(1, 9)}",
        f"{COPIED} {nonsense(1, 90)}",
    ]
    calibration = NullCalibration.fit(world.index, texts(*more))
    before = NullCalibration.fit(world.index, texts(*more[:40]))
    assert calibration.quoting[40:].tolist() == [True, True, False]  # half of its runs of 5 words, not a sixth of them
    assert (calibration.num_heldout, calibration.num_quoting) == (43, before.num_quoting + 2)
    for null in calibration.nulls["verbatim"].values():
        assert not np.isin(null.texts, np.flatnonzero(calibration.quoting)).any()
    own = np.full(1, -1, np.int64)
    assert calibration.common.match_lengths(words_of([HARBOUR]), own).max() < 4, "what it says excuses nobody"


def test_what_a_quotation_says_is_no_common_phrase(world: World) -> None:
    calibration = NullCalibration.fit(world.index, [*world.heldout, GeneratedText(HARBOUR, heldout=len(world.heldout))])
    found = world.index.match([GeneratedText(HARBOUR)], calibration, 0.05)[0]
    assert found.label == "verbatim" and found.origins["common"] == 0


def test_a_held_out_text_does_not_excuse_itself(world: World) -> None:
    """It shares 18 words with a training row and no other held-out text does: evidence of chance, at full worth."""
    number = len(world.heldout) - 1
    whole = world.calibration.nulls["verbatim"][WHOLE_TEXT]
    assert QUOTED in world.heldout[number].text and not world.calibration.quoting[number]
    assert whole.scores[whole.texts == number].item() > 100


def test_prompts_of_held_out_rows_are_masked_too(world: World) -> None:
    said = f"{nonsense(7, 20)} {QUOTED} {nonsense(8, 20)}"
    plain = NullCalibration.fit(world.index, [*world.heldout[:30], GeneratedText(said, heldout=30)])
    asked = NullCalibration.fit(world.index, [*world.heldout[:30], GeneratedText(said, prompt=QUOTED, heldout=30)])
    for calibration, low in ((plain, 100.0), (asked, 0.0)):
        whole = calibration.nulls["verbatim"][WHOLE_TEXT]
        assert whole.scores[whole.texts == 30].item() >= low
    assert asked.nulls["verbatim"][WHOLE_TEXT].scores[-1] == 0.0


# ------------------------------------------------------------------ too few


@pytest.mark.parametrize("count", [1, 2, 15])
def test_too_few_held_out_texts_are_refused_with_a_reason(world: World, count: int) -> None:
    calibration = NullCalibration.fit(world.index, world.heldout[:count])
    refused = calibration.missing_thresholds("verbatim", 0.001)
    assert len(refused) == len(LENGTHS) and all("it takes 1250" in why for why in refused)
    assert calibration.rests_on_few("verbatim", 0.001)
    found = world.index.match([GeneratedText(HARBOUR)], calibration, 0.001)[0]
    assert (found.label, found.reason) == (None, "too few held-out texts set a threshold for texts of its length")
    assert found.p_value is not None and found.p_value > 0.001
    assert calibration.false_positive_rate("verbatim", 0.001).n in (0, count)
    assert len(calibration.rows([0.001, 0.05])) == 2 * 2 * len(LENGTHS)


def test_nothing_but_quotations_is_nothing_known_of_chance(world: World) -> None:
    calibration = NullCalibration.fit(world.index, texts(HARBOUR, ANSWER))
    assert calibration.num_quoting == 2 and calibration.false_positive_rate("verbatim", 0.05).n == 0
    assert all("0 held-out texts" in why for why in calibration.missing_thresholds("verbatim", 0.05))
    found = world.index.match([GeneratedText(HARBOUR)], calibration)[0]
    assert found.label is None and found.p_value == 1.0 and found.reason


def test_texts_without_words_are_refused(world: World) -> None:
    for none in ([], texts("", "🙂")):
        with pytest.raises(ValueError, match="no held-out text has words"):
            NullCalibration.fit(world.index, none)
    calibration = NullCalibration.fit(world.index, texts("", *(one.text for one in world.heldout), "🙂"))
    assert calibration.nulls["verbatim"][WHOLE_TEXT].texts.min() == 1


def test_the_same_seed_gives_the_same_chance_and_samples_stay_within_bounds(world: World) -> None:
    one, two = (NullCalibration.fit(world.index, world.heldout, seed=5, pieces=50, aligned=20) for _ in range(2))
    for kind, most in (("verbatim", 50), ("paraphrase", 20)):
        for length in (WHOLE_TEXT, *LENGTHS):
            a, b = one.nulls[kind][length], two.nulls[kind][length]
            assert a.scores.size <= most
            assert np.array_equal(a.scores, b.scores) and np.array_equal(a.texts, b.texts)


# ------------------------------------------------------------------ another background


def test_a_background_that_was_given_speaks_of_each_word_of_each_piece() -> None:
    """Text i has words of i / 100 bits, and 8 of its 68 words, from the 31st on, from training row i."""
    index = PlagiarismIndex.build([nonsense(i, 40) for i in range(30)])
    held = [f"{nonsense(100 + i, 30)} {nonsense(i, 8)} {nonsense(200 + i, 30)}" for i in range(30)]
    bits = np.repeat(np.arange(30) / 100, 68)
    calibration = NullCalibration.fit(index, texts(*held), background=GivenBits(bits))
    expected = 8 * np.arange(30) / 100
    whole = calibration.nulls["verbatim"][WHOLE_TEXT]
    assert whole.texts.tolist() == list(range(30)) and whole.scores == pytest.approx(expected)
    pieces = calibration.nulls["verbatim"][20]  # words 20 to 39 are the second of the three pieces of a text
    assert pieces.texts.tolist() == np.repeat(np.arange(30), 3).tolist()
    assert pieces.scores[1::3] == pytest.approx(expected)
    assert pieces.scores[::3].max() == pieces.scores[2::3].max() == 0.0
    with pytest.raises(ValueError, match="surprisals were given for 2040 words"):
        NullCalibration.fit(index, texts(*held), background=GivenBits(bits[1:]))
