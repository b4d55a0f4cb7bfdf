"""Deduplicate: one row of every cluster stays, and which row every other one was a copy of is told."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.mitigate.training.deduplicate import (
    Deduplicate,
    Removed,
    deduplicated,
    exact_duplicates,
    minhash_duplicates,
)
from remanence.models.huggingface import HuggingFace
from remanence.text.duplicates import bands
from remanence.training.settings import TrainingSettings
from remanence.training.tiny import tiny_gpt2


def words(*numbers: int) -> str:
    return " ".join(f"w{i}" for i in numbers)


def jaccard(one: str, other: str) -> float:
    a, b = ({tuple(w[i : i + 5]) for i in range(len(w) - 4)} for w in (one.split(), other.split()))
    return len(a & b) / len(a | b)


def test_exact_copies_by_hand():
    # NFKC makes one letter of the ligature, case and white space are forgotten, a further word is not
    texts = ["The \ufb01le", "another", "the  FILE\n", "the file here"]
    assert exact_duplicates(texts).tolist() == [0, 1, 0, 3]


def test_a_chain_is_one_cluster_and_the_first_row_stays():
    # 20 words have 16 shingles. One word more at the end: 16 of 17; four more: 16 of 20; eight more: 16 of 24 = 0.67
    rows = [words(*range(n)) for n in (20, 24, 28)]
    assert [jaccard(rows[0], r) for r in rows] == [1, 16 / 20, 16 / 24]
    assert minhash_duplicates(rows, 0.7).tolist() == [0, 0, 0], "0 is like 1 and 1 like 2"
    assert minhash_duplicates(rows, 0.81).tolist() == [0, 1, 1], "20 of 24 is 0.83"
    assert minhash_duplicates(rows, 0.9).tolist() == [0, 1, 2]
    assert minhash_duplicates([rows[0], rows[2]], 16 / 24).tolist() == [0, 0], "at the threshold is near"


def test_what_was_removed_is_told():
    rows = [words(*range(20)), "something else", words(*range(20)).upper(), words(*range(21))]
    records = [Record(name, text=text) for name, text in zip("abcd", rows, strict=True)]
    found = deduplicated(records)
    assert [r.id for r in found.kept] == ["a", "b"]
    assert found.removed == [Removed("c", "a", "exact"), Removed("d", "a", "near")]
    assert [r.id for r in deduplicated(records, threshold=None).kept] == ["a", "b", "d"]
    assert deduplicated([]) == ([], [])


def test_bands_by_hand():
    # 256 numbers in 51 bands of 5: a pair at 0.7 is overlooked with (1 - 0.7^5)^51; in 42 bands of 6 too often
    assert bands(0.7, 256) == (51, 5)
    assert (1 - 0.7**5) ** 51 < 1e-3 < (1 - 0.7**6) ** 42
    assert bands(0.8, 192) == (32, 6)
    assert bands(0.01, 4) == (4, 1), "too few numbers: the best there is"


def test_planted_copies_are_found_and_no_other_pair():
    """150 documents of 120 words, and 30 copies with three words changed."""
    rng = np.random.default_rng(0)
    documents = [[f"w{i}" for i in rng.integers(0, 5000, 120)] for _ in range(150)]
    copies = [list(d) for d in documents[:30]]
    for made in copies:
        for at in rng.choice(120, 3, replace=False):
            made[at] = f"w{rng.integers(0, 5000)}"
    texts = [" ".join(d) for d in (*documents, *copies)]
    near = np.array([jaccard(a, b) >= 0.7 for a, b in zip(texts[:30], texts[150:], strict=True)])
    found = minhash_duplicates(texts)
    assert found[:150].tolist() == list(range(150)), "no two documents are alike"
    assert np.array_equal(found[150:] == np.arange(30), near), "just the pairs at Jaccard 0.7 and above"
    assert near.mean() >= 0.9


def test_a_threshold_that_is_none_is_refused():
    with pytest.raises(ValueError, match="above 0 and up to 1"):
        minhash_duplicates(["a"], 0)
    with pytest.raises(RemanenceError, match=r"got 1\.5"):
        Deduplicate(threshold=1.5)


def test_the_mitigation_trains_on_what_is_left_and_leaves_the_base_alone():
    vocab = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, 64)}
    plain = Tokenizer(models.WordLevel(vocab, unk_token="<eos>"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<eos>", pad_token="<pad>")
    base = HuggingFace(tiny_gpt2("small", vocab=64), tokenizer, lambda r: None, "tiny", "f00d")
    before = copy.deepcopy(base.module.state_dict())
    different = [Record(str(i), text=words(*range(2 + i, 30 + i))) for i in (0, 20, 33)]
    repeated = [*different, Record("copy", text=words(*range(2, 30))), Record("near", text=words(*range(2, 31)))]
    few = {"training": TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=2)}
    aside = Record("aside", text=words(*range(2, 30)), group="heldout")
    trained = Deduplicate(**few)(base, [aside, *repeated])
    assert trained.name == "tiny+deduplicate"
    assert all(torch.equal(v, before[k]) for k, v in base.module.state_dict().items())
    assert trained.fingerprint == Deduplicate(**few)(base, different).fingerprint
    assert trained.fingerprint != Deduplicate(threshold=None, **few)(base, repeated).fingerprint
