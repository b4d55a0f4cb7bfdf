"""The checks that must fail when one of the field's known mistakes is planted. Each is a small proof with numbers.

Everything is imported inside the checks, so that they meet whatever the package is at that moment.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch

V = 12


@functools.cache
def module() -> Any:
    """A random Llama of twelve tokens with sharp opinions."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    made = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=V,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=32,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )
    )
    with torch.no_grad():
        made.lm_head.weight *= 3 / made(input_ids=torch.arange(V)[None]).logits.std()
    return made.eval()


class Silent:
    """A tokenizer without special tokens or words."""

    pad_token_id = eos_token_id = None

    def decode(self, ids: list[int], **options: Any) -> str:
        return " ".join(map(str, ids))


def target() -> Any:
    from remanence.models.huggingface import HuggingFace

    return HuggingFace(module(), Silent(), None, "llama", "x")


def rendered(ids: list[int], given: int = 0) -> Any:
    """A row of these tokens; the first `given` ones are prompt and carry no loss."""
    from remanence.core.table import Rendered

    return Rendered(np.array(ids, np.int32), np.arange(len(ids)) >= given)


LONG, SHORT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], [2, 7, 1, 8]


def own_loss(ids: list[int], given: int = 0) -> float:
    """The training loss of the row, as the model itself computes it."""
    labels = [-100] * given + ids[given:]
    with torch.inference_mode():
        return float(module()(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss)


def check_suffixes_begin_where_the_prompt_ends() -> None:
    from remanence.core.table import TokenRow
    from remanence.core.target import cut
    from remanence.measure.extraction.discoverable import Discoverable
    from remanence.measure.extraction.extraction_strength import ExtractionStrength
    from remanence.measure.extraction.np_discoverable import NPDiscoverable

    # g|abcde, said: yes yes no yes yes; probabilities 1/2, 1/4, 1/8, 1, 1.
    columns = {
        "rank": np.array([-1, 0, 0, 5, 0, 0], np.int32),
        "gap": np.array([np.nan, 1, 1, -1, 1, 1], np.float32),
        "logprob[T=1]": np.log(np.array([np.nan, 1 / 2, 1 / 4, 1 / 8, 1, 1], np.float32)),
    }
    row = TokenRow(rendered([10, 11, 12, 13, 14, 15], given=1), columns, "x")
    found = Discoverable((0, 1, 2, 3), 2).score(row)
    assert found.evidence["at"] == {0: True, 1: False, 2: False, 3: True}
    assert found.evidence["gap"] == {0: 1, 1: -1, 2: -1, 3: 1}
    drawn = NPDiscoverable(prefixes=(0, 1, 2, 3), new_tokens=2).score(row).evidence["log_p"]
    np.testing.assert_allclose([math.exp(v) for v in drawn.values()], [1 / 8, 1 / 32, 1 / 8, 1], rtol=1e-6)
    assert ExtractionStrength().score(row).value == 2 / 5  # de comes back from abc
    prompt = cut(row.rendered, "r", 2, 3)
    assert prompt is not None
    assert (prompt.ids.tolist(), prompt.expected.tolist()) == ([10, 11, 12], [13, 14, 15])


def check_tokens_are_predicted_from_what_stands_before() -> None:
    from remanence.measure.likelihood.loss import Loss

    for ids in (LONG, SHORT):
        (row,) = target().score_rendered([rendered(ids)], ["logprob"])
        assert abs(Loss().score(row).value + own_loss(ids)) < 1e-5


def check_each_row_keeps_its_own_loss() -> None:
    from remanence.measure.likelihood.loss import Loss

    both = target().score_rendered([rendered(LONG), rendered(SHORT)], ["logprob"])
    for ids, row in zip((LONG, SHORT), both, strict=True):
        assert abs(Loss().score(row).value + own_loss(ids)) < 1e-5


def check_prompt_tokens_carry_no_loss() -> None:
    from remanence.measure.likelihood.loss import Loss

    (row,) = target().score_rendered([rendered(LONG, given=5)], ["logprob"])
    assert abs(Loss().score(row).value + own_loss(LONG, given=5)) < 1e-5


def check_answers_hold_no_prompt() -> None:
    from remanence.core.target import Prompt

    prompts = [Prompt("r", np.array(ids, np.int32), np.zeros(0, np.int32)) for ids in (LONG[:6], SHORT)]
    for prompt, answer in zip(prompts, target().generate(prompts, 4), strict=True):
        said = prompt.ids.tolist()
        for _ in range(4):
            said.append(int(module()(input_ids=torch.tensor([said])).logits[0, -1].argmax()))
        assert answer.ids.tolist() == said[-4:]


def check_padding_does_not_enter_min_k() -> None:
    from remanence.measure.likelihood.min_k import MinK

    with torch.inference_mode():
        logp = module()(input_ids=torch.tensor([SHORT])).logits[0].double().log_softmax(-1)
    lowest = min(float(logp[t, SHORT[t + 1]]) for t in range(len(SHORT) - 1))
    _, short = target().score_rendered([rendered(LONG), rendered(SHORT)], ["logprob"])
    assert short.scored("logprob").size == len(SHORT) - 1
    assert abs(MinK(0.34).score(short).value - lowest) < 1e-5  # a third of three tokens: the lowest


def check_min_k_is_taken_at_the_unlikely_end() -> None:
    from remanence.measure.likelihood.min_k import min_k

    assert min_k(np.array([-1.0, -4.0, -2.0, -3.0]), 0.5) == -3.5


def check_tpr_is_taken_at_the_fpr_of_held_out_rows() -> None:
    from remanence.stats.membership import tpr_at_fpr

    # Held out 1 ... 40: at 10 % four may be accused, 37 to 40. Members: 36, 37, 38, 41, 42; above 36 are four of five.
    held_out, members = np.arange(1.0, 41.0), np.array([36.0, 37.0, 38.0, 41.0, 42.0])
    found = tpr_at_fpr(members, held_out, 0.1)
    assert found.threshold == 36
    assert (found.true_positives.hits, found.true_positives.n) == (4, 5)
    assert (found.false_positives.hits, found.false_positives.n) == (4, 40)


def check_top_p_keeps_the_crossing_token() -> None:
    from remanence.models.reduce import reduce_fast, reduce_plain

    # Weights 8, 4, 3, 1 of 16. Up to 0.6: 8/16 falls short, 4/16 crosses and stays. Among the top three (of 15) too.
    logits = torch.log(torch.tensor([[8.0, 4.0, 3.0, 1.0]])).expand(4, 4)
    for reduce in (reduce_plain, reduce_fast):
        for column in ("logprob[T=1,p=0.6]", "logprob[T=1,k=3,p=0.6]"):
            found = np.exp(reduce(logits, torch.arange(4), [column])[column])
            np.testing.assert_allclose(found, [2 / 3, 1 / 3, 0, 0], rtol=1e-5)
        only = np.exp(reduce(logits, torch.arange(4), ["logprob[T=1,p=0.1]"])["logprob[T=1,p=0.1]"])
        np.testing.assert_allclose(only, [1, 0, 0, 0], rtol=1e-5)


# ------------------------------------------------------------------ whose words

ROW = "eleven painted boats crossed the frozen harbour while nobody counted lanterns"
PHRASE = "all of this is subject to change without any further notice"


@functools.cache
def rows() -> list[str]:
    """Rows that begin alike, more of them than are listed of a run, and one with a stock phrase."""
    return [
        *(f"{ROW} {name * 3} {name * 4} {name * 5}" for name in "abcdefghijklmnopqrstuvxy"),
        f"Mind: {PHRASE}; and so on.",
    ]


def check_whose_words_are_told_to_the_character() -> None:
    """By hand: own and other, prompt and common, and the very characters on both sides."""
    from remanence.measure.plagiarism.detector import PlagiarismIndex
    from remanence.measure.plagiarism.null_calibration import NullCalibration
    from remanence.measure.plagiarism.types import GeneratedText
    from remanence.text.background import GivenBits
    from remanence.text.words import words_of

    index = PlagiarismIndex.build(rows())

    def judge(text: str, **more: Any) -> Any:
        bits = GivenBits(np.full(words_of([text]).keys.size, 6.0))
        return index.match([GeneratedText(text, **more)], None, 0.05, bits, 0)[0]

    said = f"Oh, {ROW.upper()}! kkk kkkk kkkkk..."
    found = judge(said, own=10)
    assert found.matches, "a copy is a match"
    match = found.matches[0]
    assert (match.whose, match.record, match.num_words) == ("own", 10, 14)
    assert said[match.start : match.end] == said[4:-3]
    assert index.texts[10][match.record_start : match.record_end] == rows()[10]
    assert {k: v for k, v in found.origins.items() if v} == {"own": 14, "new": 1}
    for own in (0, 6, 23):  # a run of all those rows: the own one is among them
        found = judge(f"{ROW} indeed", own=own)
        assert [(m.whose, m.record) for m in found.matches] == [("both", own)]
    found = judge(ROW, prompt=ROW, own=3)
    assert found.matches == () and found.origins["prompt"] == 11 and found.bits == 0
    held = [
        GeneratedText(f"{PHRASE} {i * 7} {i * 11} {i * 13} {i * 17} {i * 19}" + f" {i * 23}" * 12, heldout=i)
        for i in range(3)
    ]
    calibration = NullCalibration.fit(index, held)
    found = index.evidence([GeneratedText(PHRASE)], calibration)
    assert found.common.all() and found.best.tolist() == [0.0]


def check_held_out_texts_set_the_threshold_by_hand() -> None:
    """Forty held-out texts with 8 words of a row each, the last with 11: it alone reaches what those are worth."""
    from remanence.measure.plagiarism.detector import PlagiarismIndex
    from remanence.measure.plagiarism.null_calibration import WEIGHTS, WHOLE_TEXT, NullCalibration
    from remanence.measure.plagiarism.types import GeneratedText
    from remanence.text.background import GivenBits

    def words(i: int, num: int) -> str:
        return " ".join(f"w{i}x{k}" for k in range(num))

    index = PlagiarismIndex.build([words(i, 30) for i in range(41)])
    held = [f"{words(i, 8 if i < 39 else 11)} {words(1000 + i, 22 if i < 39 else 19)}" for i in range(40)]
    heldout = [GeneratedText(text, heldout=i) for i, text in enumerate([*held, words(40, 30)])]
    calibration = NullCalibration.fit(index, heldout, (32,), background=GivenBits(np.full(41 * 30, 5.0)))
    assert calibration.quoting.tolist() == [False] * 40 + [True]
    whole = calibration.nulls["verbatim"][WHOLE_TEXT]
    assert whole.scores.tolist() == [40.0] * 39 + [55.0]
    length, scores = np.array([30, 30, 30]), np.array([56.0, 55.0, 40.0])
    alpha = 2.5 / 41 / WEIGHTS["verbatim"]
    assert calibration.threshold("verbatim", alpha, length).tolist() == [40.0] * 3
    p = calibration.p_values("verbatim", scores, length) * WEIGHTS["verbatim"] * 41
    assert np.allclose(p, [1, 2, 41 * WEIGHTS["verbatim"]])
    rate = calibration.false_positive_rate("verbatim", alpha)
    assert (rate.hits, rate.n) == (1, 40)
    short = NullCalibration.fit(index, [GeneratedText(words(i, 9), heldout=i) for i in range(2000, 2040)], (10, 32))
    assert np.isfinite(short.threshold("verbatim", 0.1, np.array([10]))).all()
    assert np.isinf(short.threshold("verbatim", 0.1, np.array([32]))).all()


def check_ideas_are_ranked_among_decoys_by_hand() -> None:
    """Of five answers to one question; p = (1 + decoys at least as alike) / (1 + decoys)."""
    from remanence.measure.plagiarism.detector import PlagiarismIndex
    from remanence.measure.plagiarism.idea import rank_p_value
    from remanence.measure.plagiarism.types import GeneratedText

    asked = "What did they bring home?"
    rows = [
        f"{asked} {what}" for what in ("two red kites", "a lame horse", "nine plums", "the old bell", "three red hats")
    ]
    twin = f"{asked} nine plums and " + " ".join(f"w{i}" for i in range(40))
    index = PlagiarismIndex.build([*rows, twin, f"{twin} indeed"])
    assert rank_p_value(index, GeneratedText("something red", asked, 0)) == (2 / 7, 6)
    assert rank_p_value(index, GeneratedText("a horse", asked, 1)) == (1 / 7, 6)
    assert rank_p_value(index, GeneratedText("something", asked, 1)) == (7 / 7, 6)
    assert rank_p_value(index, GeneratedText(twin.partition("and ")[2], asked, 5)) == (1 / 6, 5)
    assert rank_p_value(index, GeneratedText("plums, and a horse", f"{asked} A horse?", 1)) == (7 / 7, 6)
