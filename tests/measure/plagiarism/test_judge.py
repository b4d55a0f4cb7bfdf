"""The judge on a world whose every word has a known owner."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hand_made_corpus import (
    ALPHA,
    ANSWER,
    BOILERPLATE,
    CHINESE,
    COPIED,
    EMOJI,
    FIRST,
    HARBOUR,
    HEBREW,
    QUESTION,
    QUOTED,
    SECOND,
    SHARED,
    World,
    nonsense,
)

from remanence.measure.plagiarism.detector import PlagiarismIndex
from remanence.measure.plagiarism.types import ORIGINS, GeneratedText, Judgement
from remanence.text.words import words_of


def shares(found: Judgement) -> dict[str, int]:
    """The origins that are not zero; they add up."""
    assert tuple(found.origins) == ORIGINS
    assert sum(found.origins.values()) == found.num_words
    return {name: count for name, count in found.origins.items() if count}


# ------------------------------------------------------------------ the idea


def test_five_copied_words_between_two_others_are_the_records_and_the_others_are_new() -> None:
    """By hand: words seen nowhere else earn 9 bits each, so five in a row have 45; without held-out texts chance is
    log2(7 words * 10 words of corpus / alpha) = 6.1 + 4.3 = 10.4 bits at alpha = 0.05."""
    index = PlagiarismIndex.build(["alpha beta gamma delta epsilon", "one two three four five"])
    (found,) = index.match([GeneratedText("so: one two three four five!?", own=0)], alpha=0.05)
    assert found.label == "verbatim" and shares(found) == {"other": 5, "new": 1}
    (match,) = found.matches
    assert (match.record, match.whose, match.num_words) == (1, "other", 5)
    assert (match.start, match.end) == (4, 27) and (match.record_start, match.record_end) == (0, 23)
    assert match.bits == found.bits <= 5 * 9 and found.p_value is None
    assert match.e_value == pytest.approx(6 * 10 * 2**-found.bits)


# ------------------------------------------------------------------ whose words


def test_the_own_record_copied_whole_is_verbatim_own_and_nothing_else(world: World) -> None:
    found = world.judge(HARBOUR, own="harbour")
    assert found.label == "verbatim" and shares(found) == {"own": 45}
    (match,) = found.matches
    assert (match.whose, match.record) == ("own", world.number["harbour"])
    assert match.num_words == 45 and match.bits == found.bits == pytest.approx(found.most_bits)
    assert world.passages(HARBOUR, match) == (HARBOUR[:-1],) * 2  # all but the full stop, which is no word


def test_another_record_is_other_whether_or_not_an_own_one_is_known(world: World) -> None:
    for own in (None, "first"):
        found = world.judge(HARBOUR, own=own)
        assert shares(found) == {"other": 45} and [m.whose for m in found.matches] == ["other"]


def test_what_the_own_record_shares_with_another_is_both(world: World) -> None:
    text = f"I heard: {SHARED}"
    for own in ("first", "second"):
        found = world.judge(text, own=own)
        assert found.label == "verbatim"
        (match,) = found.matches  # told once, although two records hold it
        assert (match.whose, match.record) == ("both", world.number[own])
        assert shares(found) == {"both": match.num_words, "new": found.num_words - match.num_words}
        assert world.passages(text, match) == (SHARED, SHARED)
    (match,) = world.judge(text, own="harbour").matches
    assert match.whose == "other"


def test_a_near_twin_is_both_only_where_it_explains_as_much(world: World) -> None:
    """All of FIRST stands in its own record; the twin holds two thirds of it, so it is no equal explanation."""
    found = world.judge(FIRST, own="first")
    assert [m.whose for m in found.matches] == ["own"] and shares(found) == {"own": found.num_words}
    assert world.judge(SECOND, own="first").matches[0].whose == "other"


def test_a_row_in_32_copies_is_as_surprising_as_a_row_in_one(world: World) -> None:
    """Copies are no sign of a common phrase; they are why it was memorized."""
    found = world.judge(COPIED, own="copy-7")
    assert found.label == "verbatim" and shares(found) == {"own": 16}
    (match,) = found.matches  # 32 copies are told as one, the first
    assert match.record == world.number["copy-0"]
    assert found.bits > 16 * 7
    assert shares(world.judge(COPIED)) == {"other": 16}


def test_two_passages_of_two_records_are_two_matches(world: World) -> None:
    text = f"{ANSWER} Then: {COPIED}"
    found = world.judge(text, own="pair")
    assert {(m.whose, m.record) for m in found.matches} == {
        ("own", world.number["pair"]),
        ("other", world.number["copy-0"]),
    }
    assert shares(found) == {"own": 20, "new": 1, "other": 16}


# ------------------------------------------------------------------ explained before anything counts


def test_copying_the_prompt_is_never_a_match(world: World) -> None:
    found = world.judge(f"As you say: {HARBOUR}", prompt=f"Repeat this. {HARBOUR}", own="harbour")
    assert found.label is None and found.matches == ()
    assert shares(found) == {"prompt": 45, "new": 3}
    assert found.bits == 0.0 and found.p_value == 1.0


def test_the_prompts_record_goes_unnamed_and_the_rest_is_still_found(world: World) -> None:
    text = f"{QUESTION} {ANSWER}"
    found = world.judge(text, prompt=QUESTION, own="pair")
    assert shares(found) == {"prompt": 19, "own": 20}
    (match,) = found.matches
    assert text[match.end - 4 : match.end] == " jam"
    assert match.bits == pytest.approx(world.judge(ANSWER, own="pair").bits, abs=1)  # its first word has a context now


def test_a_run_of_three_words_of_the_prompt_explains_nothing_and_one_of_four_does(world: World) -> None:
    prompt = " ".join(HARBOUR.split()[9:12])
    assert shares(world.judge(HARBOUR, prompt=prompt, own="harbour")) == {"own": 45}
    prompt = " ".join(HARBOUR.split()[9:13])
    assert shares(world.judge(HARBOUR, prompt=prompt, own="harbour")) == {"own": 41, "prompt": 4}


def test_phrases_of_held_out_texts_are_common_and_no_match(world: World) -> None:
    """The very words stand in a training row, but three held-out texts use them too."""
    found = world.judge(f"I think {BOILERPLATE}", own="parish")
    assert found.label is None and shares(found) == {"common": 17, "new": 2}
    assert found.bits == 0.0


def test_a_held_out_text_does_not_excuse_itself_as_a_common_phrase(world: World) -> None:
    number = len(world.heldout) - 1
    text = world.heldout[number].text
    assert QUOTED in text
    mine = world.judge(text, heldout=number)
    assert mine.bits > 100 and shares(mine).get("common", 0) == 0
    others = world.judge(text)  # said by somebody else, the same words are common
    assert others.bits == 0.0 and shares(others) == {"common": 68}


# ------------------------------------------------------------------ small changes


@pytest.mark.parametrize("every", [10, 8, 5])
def test_a_copy_with_words_replaced_is_one_match_and_the_replaced_words_are_new(world: World, every: int) -> None:
    words = HARBOUR.split()
    changed = [f"xx{i}" if i % every == every // 2 else word for i, word in enumerate(words)]
    text = " ".join(changed)
    found = world.judge(text, own="harbour")
    gone = " ".join(a for a, b in zip(words, changed, strict=True) if a != b)
    replaced, kept = gone.count(" ") + 1, 45 - words_of([gone]).keys.size  # "clockmaker's" is two words
    assert found.label == "verbatim"
    (match,) = found.matches
    assert match.num_words == kept
    assert match.bits is not None and match.bits < world.judge(HARBOUR, own="harbour").bits
    alone = 1 if every == 5 else 0  # an equal word between two changed ones is told as new
    assert shares(found) == {"own": kept - alone, "new": replaced + alone}


def test_the_changed_words_between_two_runs_are_not_counted_as_copied(world: World) -> None:
    words = HARBOUR.split()
    words[20:20] = ["entirely", "invented"]
    found = world.judge(" ".join(words), own="harbour")
    assert shares(found) == {"own": 45, "new": 2} and len(found.matches) == 1


# ------------------------------------------------------------------ spans


@pytest.mark.parametrize("text", [HARBOUR, CHINESE, HEBREW, EMOJI], ids=["english", "chinese", "hebrew", "emoji"])
def test_spans_cut_the_same_words_out_of_both_texts_in_every_script(world: World, text: str) -> None:
    said = f"«{text[4:-3].upper()}» 🙂 ..."
    found = world.judge(said)
    assert found.label == "verbatim"
    (match,) = found.matches
    here, there = world.passages(said, match)
    assert there in text and np.array_equal(words_of([here]).keys, words_of([there]).keys)
    assert match.num_words == words_of([here]).keys.size >= found.num_words - 2
    for passage in (here, there):  # from the first character of a word to the last one of a word
        words = words_of([passage])
        assert (words.starts[0], words.ends[-1]) == (0, len(passage))
    assert match.num_words == shares(found)["other"]


def test_spans_are_exact_to_the_character(world: World) -> None:
    copied = "counted eleven painted boats, wrote their names into a green ledger, and locked it (twice!) in"
    said = f"{nonsense(1, 3)} {copied}. {nonsense(2, 3)}"
    (match,) = world.judge(said, own="harbour").matches
    assert world.passages(said, match) == (copied, copied)


# ------------------------------------------------------------------ paraphrase and idea


def test_labels_are_nested_and_each_has_its_p_value(world: World) -> None:
    retold = (
        "A locksmith of Tarvin, who was blind, used fish glue to repair it; nothing did he ask for but jars of jam, "
        "nine of them, plum."
    )
    found = world.judge(retold, prompt=QUESTION, own="pair")
    assert found.label == "paraphrase"
    (match,) = found.matches
    assert (match.kind, match.whose, match.record) == ("paraphrase", "own", world.number["pair"])
    assert match.p_value is not None and match.p_value <= ALPHA and match.p_value == found.paraphrase_p
    assert found.idea_p is None  # not asked, something stronger was found
    here, there = world.passages(retold, match)
    assert "locksmith" in here and "locksmith" in there
    assert match.num_words == words_of([here]).keys.size


def test_an_idea_has_the_rank_as_its_p_value_and_no_place(world: World) -> None:
    retold = "Somebody sightless from Tarvin mended the thing for plum preserve, with no payment in coins at all, ever."
    found = world.judge(retold, prompt=QUESTION, own="pair")
    assert found.label == "idea" and found.idea_p is not None and found.idea_p <= 0.05
    (match,) = found.matches
    assert (match.kind, match.whose, match.record) == ("idea", "own", world.number["pair"])
    assert (match.start, match.end) == (0, len(retold)) and match.record_start == match.record_end == -1
    assert match.bits is None and match.e_value is None and match.p_value == found.idea_p
    assert shares(found) == {"new": found.num_words}


def test_ideas_need_to_know_the_row_that_was_asked_about_and_can_be_left_out(world: World) -> None:
    said = GeneratedText(
        "Somebody sightless from Tarvin mended the thing for plum preserve, with no payment in coins at all."
    )
    assert world.judge(said.text).idea_p is None
    own = GeneratedText(said.text, own=world.number["pair"])
    assert world.index.match([own], world.calibration, decoys=0)[0].idea_p is None
    assert world.index.match([own], world.calibration, decoys=9)[0].idea_p is not None


# ------------------------------------------------------------------ not measurable is no zero


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no words"),
        ("🙂🙃 ... !", "it has no words"),
        ("painted boats", "it has fewer than 4 words"),
        ("and it was the", "it carries "),
        (BOILERPLATE, "it carries 0 bits"),
    ],
)
def test_a_text_too_poor_in_bits_has_a_reason_and_no_label(world: World, text: str, reason: str) -> None:
    found = world.judge(text)
    assert found.label is None and found.matches == ()
    assert found.reason is not None and found.reason.startswith(reason)
    assert sum(found.origins.values()) == found.num_words


def test_a_text_is_measurable_exactly_where_a_perfect_copy_of_it_would_be_flagged(world: World) -> None:
    words = HARBOUR.split()
    seen = set[bool]()
    for size in range(1, 30):
        text = " ".join(words[:size])
        found = world.judge(text, own="harbour")
        assert found.most_bits == pytest.approx(found.bits) or size < 4  # every prefix of four words is a copy
        assert (found.label == "verbatim") == (found.reason is None)
        seen.add(found.reason is None)
    assert seen == {True, False}


# ------------------------------------------------------------------ company


def test_company_and_order_change_nothing(world: World) -> None:
    said = [
        GeneratedText(HARBOUR, "", world.number["harbour"]),
        GeneratedText(""),
        GeneratedText(f"I heard that {SHARED}", QUESTION, world.number["first"]),
        GeneratedText(CHINESE),
        *world.heldout[:10],
    ]
    together = world.index.match(said, world.calibration, ALPHA)
    assert together == [world.index.match([one], world.calibration, ALPHA)[0] for one in said]
    assert together[::-1] == world.index.match(said[::-1], world.calibration, ALPHA)
    assert world.index.match([], world.calibration, ALPHA) == []


def test_a_corpus_without_words_and_one_without_rows_share_nothing() -> None:
    for records in ([], ["", "🙂"]):
        (found,) = PlagiarismIndex.build(records).match([GeneratedText(HARBOUR)])
        assert found.label is None and shares(found) == {"new": 45}


# ------------------------------------------------------------------ anything at all


def test_whatever_is_said_the_figures_hold_together(world: World) -> None:
    """Pieces of rows, prompts, held-out texts, inventions and rubbish in any mixture."""
    dice = random.Random(0)
    pieces = [
        HARBOUR,
        SHARED,
        ANSWER,
        BOILERPLATE,
        COPIED,
        CHINESE,
        HEBREW,
        EMOJI,
        QUOTED,
        "\0\ud83d",
        "e\u0301ﬁ\u200d ßİ",
    ]
    pieces += [one.text for one in world.heldout[:20]] + [record.plain for record in world.train[:20]]

    def mixture() -> str:
        said: list[str] = []
        for _ in range(dice.randint(0, 5)):
            piece = dice.choice(pieces)
            low = dice.randrange(len(piece) + 1)
            said += [piece[low : low + dice.randint(0, 150)], dice.choice([" ", "\n", "", ". "])]
        return "".join(said)

    said = [GeneratedText(mixture(), mixture(), dice.randint(-1, len(world.train) - 1)) for _ in range(300)]
    for calibration in (world.calibration, None):
        for one, found in zip(said, world.index.match(said, calibration, ALPHA), strict=True):
            shares(found)
            assert found.num_words == words_of([one.text]).keys.size
            assert (found.label is None) == (not found.matches) and not (found.reason and found.matches)
            assert 0 <= found.bits <= found.most_bits + 1e-9
            for match in found.matches:
                assert 0 <= match.start < match.end <= len(one.text)
                assert (match.whose == "other") or one.own >= 0
                if match.kind == "idea":
                    continue
                here, there = world.passages(one.text, match)
                assert here and there and match.num_words > 0
                if match.kind == "verbatim":
                    here_keys, there_keys = words_of([here]).keys, words_of([there]).keys
                    assert here_keys[0] == there_keys[0] and here_keys[-1] == there_keys[-1]
                    assert match.num_words <= min(here_keys.size, there_keys.size)
                    assert match.bits is not None and match.bits <= found.bits
