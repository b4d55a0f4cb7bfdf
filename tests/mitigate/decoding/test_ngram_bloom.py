"""The filter never misses a protected n-gram, and errs the other way as often as it was told it may."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from remanence.mitigate.decoding.ngram_bloom import NGramBloom, bloom_size


def test_three_grams_by_hand():
    bloom = NGramBloom(n=3, capacity=10)
    bloom.add([7, 1, 2, 3])
    assert (7, 1, 2) in bloom and (1, 2, 3) in bloom
    assert (2, 1, 7) not in bloom and (1, 2, 4) not in bloom
    assert bloom.num_added == 2
    assert bloom.blocked([9, 9, 1, 2], np.array([2, 3, 4])).tolist() == [False, True, False]


def test_size_by_hand():
    # 1000 items at 1 %: 9585.06 bits, 9.585 ln 2 = 6.64 hashes
    assert bloom_size(1000, 0.01) == (9586, 7)


@pytest.mark.parametrize("fp_rate", [0.1, 0.01, 0.001])
def test_against_a_set_of_100_000(fp_rate):
    rng = np.random.default_rng(0)
    grams = np.unique(rng.integers(0, 50_257, (100_000, 6)), axis=0)
    known = set(map(tuple, grams.tolist()))
    bloom = NGramBloom(6, capacity=len(grams), fp_rate=fp_rate)
    bloom.add_corpus(grams)
    assert bloom.contains(grams).all()
    others = np.array([g for g in rng.integers(0, 50_257, (200_000, 6)).tolist() if tuple(g) not in known])
    rate = bloom.contains(others).mean()
    assert rate == pytest.approx(fp_rate, rel=0.2, abs=3 * (fp_rate / len(others)) ** 0.5)
    assert bloom.expected_fp() == pytest.approx(fp_rate, rel=0.1)
    assert bloom.num_added == pytest.approx(len(grams), rel=0.05)


def test_blocked_is_contains_for_every_candidate():
    rng = np.random.default_rng(1)
    text = rng.integers(0, 20, 400)
    bloom = NGramBloom(4, capacity=400)
    bloom.add(text)
    known = {tuple(text[i : i + 4].tolist()) for i in range(397)}
    seen = 0
    for start in range(60):
        history = text[start : start + 3] if start % 2 else rng.integers(0, 20, 3)
        found = bloom.blocked(history, np.arange(20))
        assert found.tolist() == [(*history.tolist(), c) in known for c in range(20)]
        seen += found.sum()
    assert seen >= 30


def test_short_history_blocks_nothing_and_short_text_adds_nothing():
    bloom = NGramBloom(5, capacity=3)
    bloom.add([1, 2, 3, 4])
    assert bloom.num_added == 0 and not bloom.bits.any()
    assert not bloom.blocked([1, 2, 3], np.arange(9)).any()


def test_one_grams_are_banned_words():
    bloom = NGramBloom(1, capacity=2)
    bloom.add([3, 5])
    assert bloom.blocked([], np.arange(7)).tolist() == [False, False, False, True, False, True, False]


def test_min_count_protects_only_what_repeats():
    bloom = NGramBloom(2, capacity=10)
    bloom.add_corpus([[1, 2, 3], [1, 2, 4], [1, 2, 3]], min_count=2)
    assert (1, 2) in bloom and (2, 3) in bloom and (2, 4) not in bloom


def test_saved_filter_is_the_same_without_pickle(tmp_path):
    bloom = NGramBloom(3, capacity=50, fp_rate=0.01, seed=4)
    bloom.add(np.arange(40))
    bloom.save(tmp_path / "b.npz")
    again = NGramBloom.load(tmp_path / "b.npz")
    assert np.array_equal(again.bits, bloom.bits) and again.num_added == bloom.num_added == 38
    assert (5, 6, 7) in again and again.blocked([5, 6], np.array([7])).all()


def test_hash_is_the_same_in_another_process():
    code = (
        "from remanence.mitigate.decoding.ngram_bloom import NGramBloom as B; b = B(3, 50); b.add(range(40));"
        "print(int(b.bits.astype('int64').sum()), int(b.prefix_bits.astype('int64').sum()))"
    )
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    bloom = NGramBloom(3, 50)
    bloom.add(range(40))
    assert runs == {
        f"{int(bloom.bits.astype('int64').sum())} {int(bloom.prefix_bits.astype('int64').sum())}\n".encode()
    }


def test_bad_settings_say_so():
    with pytest.raises(ValueError, match="fp_rate"):
        NGramBloom(3, 10, fp_rate=0)
    with pytest.raises(ValueError, match="holds 3-grams"):
        NGramBloom(3, 10).contains([[1, 2]])
