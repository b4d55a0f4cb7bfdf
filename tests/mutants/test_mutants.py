"""The known mistakes of the field, planted one by one into our own source: the check made for each must notice.

A mutant is an edit of one line. The edited file runs in place of the real one for the length of a test, without numba.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numba
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import oracles

CHECKS = [check for name, check in vars(oracles).items() if name.startswith("check_")]


class Mutant(NamedTuple):
    mistake: str
    module: str
    line: str
    wrong: str
    check: Callable[[], None]


SUFFIX = oracles.check_suffixes_begin_where_the_prompt_ends
TPR = oracles.check_tpr_is_taken_at_the_fpr_of_held_out_rows
WHOSE = oracles.check_whose_words_are_told_to_the_character
CHANCE = oracles.check_held_out_texts_set_the_threshold_by_hand
IDEA = oracles.check_ideas_are_ranked_among_decoys_by_hand

MUTANTS = [
    # Suffix slice off by one
    Mutant(
        "verdicts are those of the next cut",
        "measure.extraction.discoverable",
        "return window_sums(hit_T, new_tokens) == new_tokens",
        "return np.roll(window_sums(hit_T, new_tokens), -1) == new_tokens",
        SUFFIX,
    ),
    Mutant("windows begin one early", "measure.extraction.splits", "prefix + start)", "prefix + start - 1)", SUFFIX),
    Mutant(
        "sums are those of the next cut",
        "measure.extraction.splits",
        "sums = total[size:] - total[:-size]",
        "sums = np.roll(total[size:] - total[:-size], -1)",
        SUFFIX,
    ),
    Mutant(
        "the first token to come back is skipped",
        "core.target",
        "rendered.ids[at : at + new_tokens]",
        "rendered.ids[at + 1 : at + 1 + new_tokens]",
        SUFFIX,
    ),
    Mutant(
        "the prompt holds the first token to come back",
        "core.target",
        "Prompt(record_id, rendered.ids[:at],",
        "Prompt(record_id, rendered.ids[: at + 1],",
        SUFFIX,
    ),
    Mutant(
        "the last miss counts as said",
        "measure.extraction.extraction_strength",
        "int(misses[-1]) + 1",
        "int(misses[-1])",
        SUFFIX,
    ),
    Mutant(
        "a token is scored by the distribution after it",
        "models.huggingface",
        "np.concatenate(places) - offset",
        "np.concatenate(places)",
        oracles.check_tokens_are_predicted_from_what_stands_before,
    ),
    # Batch-mean loss stored per row
    Mutant(
        "every row gets the mean of its batch",
        "models.huggingface",
        "filled[place] = values[at : at + place.size]",
        "filled[place] = values.mean()",
        oracles.check_each_row_keeps_its_own_loss,
    ),
    Mutant(
        "rows of a batch are swapped",
        "models.huggingface",
        "filled[place] = values[at : at + place.size]",
        "filled[place] = values[len(values) - at - place.size :][: place.size]",
        oracles.check_each_row_keeps_its_own_loss,
    ),
    # Prompt counted as generated text
    Mutant(
        "the answer holds the prompt",
        "models.huggingface",
        "_until_end(line[given:]",
        "_until_end(line",
        oracles.check_answers_hold_no_prompt,
    ),
    Mutant(
        "the answer holds the last token of the prompt",
        "models.huggingface",
        "_until_end(line[given:]",
        "_until_end(line[given - 1 :]",
        oracles.check_answers_hold_no_prompt,
    ),
    Mutant(
        "prompts are padded on the wrong side",
        "models.huggingface",
        'ids, mask = pad([p.ids for p in prompts], self._pad(), side="left")',
        'ids, mask = pad([p.ids for p in prompts], self._pad(), side="right")',
        oracles.check_answers_hold_no_prompt,
    ),
    Mutant(
        "the loss counts the prompt",
        "core.table",
        "mask = self.supervised.copy()",
        "mask = np.ones_like(self.supervised)",
        oracles.check_prompt_tokens_carry_no_loss,
    ),
    # TPR taken at the wrong side of the FPR
    Mutant(
        "the threshold comes from the members",
        "stats.membership",
        "threshold = threshold_at(nonmembers, fpr)",
        "threshold = float(np.sort(members)[members.size - 1 - math.floor(members.size * fpr)])",
        TPR,
    ),
    Mutant(
        "the threshold is at the other end",
        "stats.membership",
        "np.sort(nonmembers)[nonmembers.size - 1 - allowed]",
        "np.sort(nonmembers)[allowed]",
        TPR,
    ),
    Mutant(
        "one false alarm too many",
        "stats.membership",
        "nonmembers.size - 1 - allowed]",
        "nonmembers.size - 2 - allowed]",
        TPR,
    ),
    Mutant(
        "one false alarm too few",
        "stats.membership",
        "nonmembers.size - 1 - allowed]",
        "nonmembers.size - allowed]",
        TPR,
    ),
    Mutant(
        "a tie with the threshold is recognised",
        "stats.membership",
        "Rate.of(members > threshold)",
        "Rate.of(members >= threshold)",
        TPR,
    ),
    Mutant(
        "the rates are swapped",
        "stats.membership",
        "Rate.of(members > threshold), Rate.of(nonmembers > threshold)",
        "Rate.of(nonmembers > threshold), Rate.of(members > threshold)",
        TPR,
    ),
    # Padding tokens in Min-K%
    Mutant(
        "padding is scored like text",
        "models.huggingface",
        "rows = [rendered[i] for i in batch]",
        "wide = max(rendered[i].ids.size for i in batch); rows = [Rendered(np.pad(r.ids, (0, wide - r.ids.size)), "
        "np.pad(r.supervised, (0, wide - r.ids.size), constant_values=True)) for r in (rendered[i] for i in batch)]",
        oracles.check_padding_does_not_enter_min_k,
    ),
    Mutant(
        "the likely end is kept",
        "measure.likelihood.min_k",
        "np.sort(values_N)[:kept]",
        "np.sort(values_N)[-kept:]",
        oracles.check_min_k_is_taken_at_the_unlikely_end,
    ),
    # Top-p that drops the crossing token
    Mutant(
        "the plain path drops the crossing token",
        "models.reduce",
        "above = p.cumsum(-1) - p",
        "above = p.cumsum(-1)",
        oracles.check_top_p_keeps_the_crossing_token,
    ),
    Mutant(
        "the fast path drops the crossing token",
        "models.reduce_cpu",
        "while at < end and mass < goal:",
        "while at < end and mass + np.exp(-D[at] / T) < goal:",
        oracles.check_top_p_keeps_the_crossing_token,
    ),
    Mutant(
        "the fast path keeps a token too many",
        "models.reduce_cpu",
        "while at < end and mass < goal:",
        "while at < end and mass - np.exp(-D[at] / T) < goal:",
        oracles.check_top_p_keeps_the_crossing_token,
    ),
    # Whose words
    Mutant(
        "a match ends one character early",
        "measure.plagiarism.judge",
        "int(words.ends[high - 1]))",
        "int(words.ends[high - 1]) - 1)",
        WHOSE,
    ),
    Mutant(
        "a match ends one word late in the record",
        "measure.plagiarism.judge",
        "int(evidence.corpus.ends[chains.corpus_ends[c] - 1])",
        "int(evidence.corpus.ends[chains.corpus_ends[c] - 2])",
        WHOSE,
    ),
    Mutant(
        "copying the prompt counts",
        "measure.plagiarism.evidence",
        "bits[from_prompt | shared] = 0.0",
        "bits[shared] = 0.0",
        WHOSE,
    ),
    Mutant(
        "phrases of held-out texts count",
        "measure.plagiarism.evidence",
        "bits[from_prompt | shared] = 0.0",
        "bits[from_prompt] = 0.0",
        WHOSE,
    ),
    Mutant(
        "the own record is not among the places",
        "measure.plagiarism.evidence",
        "runs_in(index.runs, words, batch.own, MIN_WORDS)",
        "runs_in(index.runs, words, np.minimum(batch.own, -1), MIN_WORDS)",
        WHOSE,
    ),
    Mutant(
        "others that share as much push the own record out",
        "measure.plagiarism.evidence",
        "(own >= 0) & (records",
        "(own > 1 << 40) & (records",
        WHOSE,
    ),
    Mutant(
        "a held-out text excuses itself",
        "measure.plagiarism.evidence",
        "common.match_lengths(words, batch.heldout)",
        "common.match_lengths(words)",
        CHANCE,
    ),
    Mutant(
        "p counts what is below",
        "measure.plagiarism.null_calibration",
        "np.minimum(1.0, p_values_by_length(scores, num_words, nulls) / WEIGHTS[kind])",
        "np.minimum(1.0, (1 - p_values_by_length(scores, num_words, nulls)) / WEIGHTS[kind])",
        CHANCE,
    ),
    Mutant(
        "p forgets that two kinds are asked",
        "measure.plagiarism.null_calibration",
        "p_values_by_length(scores, num_words, nulls) / WEIGHTS[kind]",
        "p_values_by_length(scores, num_words, nulls)",
        CHANCE,
    ),
    Mutant(
        "quotations set thresholds",
        "measure.plagiarism.null_calibration",
        "~quoting[owners] & (np.diff",
        "(owners >= 0) & (np.diff",
        CHANCE,
    ),
    Mutant(
        "texts are asked by their own half's thresholds",
        "measure.plagiarism.null_calibration",
        "test = first[null.texts] != half",
        "test = first[null.texts] == half",
        CHANCE,
    ),
    Mutant(
        "long texts are held against short pieces",
        "measure.plagiarism.null_calibration",
        "num_words[longest] > NEARLY * shorter",
        "num_words[longest] >= 0",
        CHANCE,
    ),
    Mutant(
        "ties with decoys are won",
        "measure.plagiarism.idea",
        "(scores[1:] >= scores[0])",
        "(scores[1:] > scores[0])",
        IDEA,
    ),
    Mutant(
        "words of the prompt make an idea",
        "measure.plagiarism.idea",
        "fresh = ~np.isin(words.keys, prompt_words.keys)",
        "fresh = np.ones(words.keys.size, np.bool_)",
        IDEA,
    ),
    Mutant(
        "twins of the own record are decoys",
        "measure.plagiarism.idea",
        "groups[1:] != groups[0]",
        "groups[1:] >= 0",
        IDEA,
    ),
]


def plant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the functions and methods of the edited file in the place of the real ones, wherever they were imported."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    real = import_module(f"remanence.{mutant.module}")
    source = inspect.getsource(real)
    assert source.count(mutant.line) == 1, f"{mutant.line!r} is not one place of {mutant.module}: mend the mutant"
    edited: dict[str, Any] = {"__name__": real.__name__, "__file__": real.__file__}
    exec(compile(source.replace(mutant.line, mutant.wrong), str(real.__file__), "exec"), edited)
    for name, made in edited.items():
        old = vars(real).get(name)
        if inspect.isclass(made) and made.__module__ == real.__name__:
            for method, body in vars(made).items():
                if inspect.isfunction(body) or isinstance(body, property | classmethod):
                    monkeypatch.setattr(old, method, body)
        elif callable(made) and getattr(made, "__module__", None) == real.__name__:
            for other in [m for key, m in sys.modules.items() if key.startswith("remanence.")]:
                if vars(other).get(name) is old:
                    monkeypatch.setattr(other, name, made)


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_the_checks_pass_as_things_are(check: Callable[[], None]):
    check()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.mistake)
def test_a_planted_mistake_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch):
    plant(mutant, monkeypatch)
    with pytest.raises(AssertionError):
        mutant.check()


def test_the_real_functions_are_back_afterwards(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as inner:
        plant(MUTANTS[0], inner)
    for check in CHECKS:
        check()


@pytest.mark.parametrize("module", sorted({m.module for m in MUTANTS}))
def test_planting_by_itself_breaks_nothing(module: str, monkeypatch: pytest.MonkeyPatch):
    """What the checks of the module notice is the mistake, not the planting."""
    source = inspect.getsource(import_module(f"remanence.{module}"))
    first = next(line for line in source.splitlines() if line and source.count(line) == 1)
    checks = {mutant.check for mutant in MUTANTS if mutant.module == module}
    plant(Mutant("none", module, first, first, CHECKS[0]), monkeypatch)
    for check in checks:
        check()
