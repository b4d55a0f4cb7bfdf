"""The verbatim evidence: what is masked, what each word is worth, and whose bits are used."""

from __future__ import annotations

import numpy as np
import pytest
from hand_made_corpus import ALPHA, BOILERPLATE, COPIED, HARBOUR, World, nonsense

from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.null_calibration import NullCalibration
from remanence.measure.plagiarism.types import GeneratedText
from remanence.text.background import GivenBits, NGrams
from remanence.text.words import words_of


def slow_masks(text: str, other: list[str], least: int) -> list[bool]:
    """Which words of a text lie in a run of `least` words or more that one of the others holds; word by word."""
    words = words_of([text]).keys.tolist()
    held = {
        tuple(keys[i : i + least])
        for keys in (words_of([one]).keys.tolist() for one in other)
        for i in range(len(keys) - least + 1)
    }
    inside = [False] * len(words)
    for i in range(len(words) - least + 1):
        if tuple(words[i : i + least]) in held:
            inside[i : i + least] = [True] * least
    return inside


def test_a_masked_word_is_worth_nothing_and_the_others_their_surprisal(world: World) -> None:
    said = GeneratedText(f"{HARBOUR} {BOILERPLATE} {nonsense(1, 4)}", prompt=HARBOUR[:60])
    found = world.index.evidence([said], world.calibration)
    assert found.from_prompt.tolist() == slow_masks(said.text, [said.prompt], 4)
    assert found.from_prompt.sum() == words_of([said.prompt]).keys.size - 1  # "boat" is no whole word of it
    assert found.common.sum() == 17 and not (found.common & found.from_prompt).any()
    masked = found.from_prompt | found.common
    assert (found.bits[masked] == 0).all()
    free = np.minimum(9, world.index.background.left_out_bits(found.batch.words))
    assert np.array_equal(found.bits[~masked], free[~masked])
    assert found.most[0] == pytest.approx(world.index.evidence([said], world.calibration).most[0])


def test_masks_equal_a_search_word_by_word(world: World) -> None:
    held = [one.text for one, out in zip(world.heldout, world.calibration.quoting, strict=True) if not out]
    for record in world.train[:40]:
        said = GeneratedText(record.completion or record.plain, record.prompt or "")
        found = world.index.evidence([said], world.calibration)
        prompt = np.array(slow_masks(said.text, [said.prompt], 4), np.bool_)
        assert np.array_equal(found.from_prompt, prompt)
        for mask, least in ((found.common, 8), (found.phrase, 4)):
            assert np.array_equal(mask, np.array(slow_masks(said.text, held, least), np.bool_) & ~prompt)


def test_bits_that_were_given_are_the_bits_that_are_used(world: World) -> None:
    """As a base model's: 16 words of 2 bits, 2 of 5 and the last of 40, of which no more than 9 count."""
    text = f"{COPIED} {nonsense(1, 2)} {nonsense(2, 1)}"
    given = np.array([2.0] * 16 + [5.0] * 2 + [40.0])
    found = world.index.evidence([GeneratedText(text)], None, GivenBits(given))
    assert found.bits[:, 0].tolist() == [2.0] * 16 + [5.0] * 2 + [9.0]
    assert found.best.tolist() == [32.0] and found.most.tolist() == [32.0 + 10.0 + 9.0]
    judged = world.index.match([GeneratedText(text)], None, 0.01, GivenBits(given))[0]
    assert (judged.bits, judged.most_bits) == (32.0, 51.0)
    with pytest.raises(ValueError, match="19 surprisals were given for 18 words"):
        world.index.match([GeneratedText(text.rpartition(" ")[0])], None, 0.01, GivenBits(given))


def test_what_the_base_model_expected_is_no_memory(world: World) -> None:
    """The same copy, once surprising to the base model and once known to it by heart, against the same chance."""
    held = [one for one in world.heldout if one.text]
    words = words_of([one.text for one in held])
    calibration = NullCalibration.fit(world.index, held, background=GivenBits(np.full(words.keys.size, 6.0)))
    said, size = [GeneratedText(HARBOUR, own=world.number["harbour"])], 45
    told = world.index.match(said, calibration, ALPHA, GivenBits(np.full(size, 6.0)))[0]
    assert told.label == "verbatim" and told.bits == pytest.approx(45 * 6)
    known = world.index.match(said, calibration, ALPHA, GivenBits(np.full(size, 0.01)))[0]
    assert known.label is None and known.reason is not None and known.bits == pytest.approx(0.45)


def test_another_language_model_can_take_the_corpus_place(world: World) -> None:
    unigrams = NGrams.fit(words_of(list(world.index.texts)), order=1)
    plain = world.index.evidence([GeneratedText(HARBOUR)])
    other = world.index.evidence([GeneratedText(HARBOUR)], background=unigrams)
    assert other.bits.shape == (45, 2) and plain.bits.shape == (45, 4)
    assert other.best[0] != plain.best[0] and other.best[0] > 200


def test_the_own_record_is_always_among_the_places() -> None:
    """A run in 40 records is listed in 16 of them; the own record, the last, is told nevertheless."""
    rows = [f"{COPIED} {nonsense(i, 3)}" for i in range(40)]
    index = PlagiarismIndex.build(rows)
    for own in (0, 20, 39):
        found = index.match(
            [GeneratedText(f"{COPIED} so", own=own)], alpha=0.3, background=GivenBits(np.full(17, 5.0))
        )[0]
        assert [(m.record, m.whose) for m in found.matches] == [(own, "both")]
    found = index.match([GeneratedText(rows[39], own=39)], alpha=0.3, background=GivenBits(np.full(19, 5.0)))[0]
    assert [(m.record, m.whose) for m in found.matches] == [(39, "own")]


def test_a_batch_without_one_shared_word_is_no_error(world: World) -> None:
    for said in ([], [GeneratedText("")], [GeneratedText(nonsense(5, 30)), GeneratedText("🙂")]):
        found = world.index.evidence(said, world.calibration)
        assert found.best.tolist() == [0.0] * len(said) and found.records.size == 0
