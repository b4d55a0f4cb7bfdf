"""The aligner on texts made by hand, on planted copies, and on the development pairs where they are."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from remanence.corpora.casebook.corpus import private_corpus
from remanence.stats.plagdet import Passages, plagdet
from remanence.text.align import KINDS, Aligner, Alignments
from remanence.text.prepared import background_of

FACTS = [
    "The harbour master counted eleven painted boats before breakfast.",
    "Nobody remembered who had planted the crooked walnut tree.",
    "Her brother repaired clocks in a cellar beneath the bakery.",
    "A frozen river carried the merchants safely towards winter markets.",
    "Copper kettles whistled while the children argued about geography.",
    "Several lanterns burned all night inside the abandoned observatory.",
]
OTHER = ["Completely unrelated remarks about taxation follow here.", "Parliament debated railway tariffs yesterday."]
CORPUS = [r.text or f"{r.prompt} {r.completion}" for r in private_corpus(seed=3, num_rows=200, num_heldout=0).train]
SHORT = Aligner.fit(CORPUS, passage_chars=0, verbatim_chars=200)


def test_a_reworded_sentence_is_found_and_its_edges_are_words():
    susp = "On that miserable Thursday the harbour master had counted eleven painted boats; nobody else cared very much"
    aligner = Aligner(SHORT.background, passage_chars=0, edge_bits=1.0)
    (passage,) = aligner.pair(susp, " ".join(FACTS))
    assert susp[passage.susp_start : passage.susp_end].startswith("the harbour master")
    assert susp[passage.susp_start : passage.susp_end].endswith("painted boats")
    assert " ".join(FACTS)[passage.src_start : passage.src_end] in FACTS[0]
    assert passage.kind == "paraphrase"
    assert passage.bits > 45  # seven words that the corpus hardly has, each worth about eight bits


def test_a_text_of_one_sentence_is_found():
    """What the detector of 2015 can never find (D1)."""
    (passage,) = SHORT.pair(FACTS[0], FACTS[0])
    assert passage[:4] == (0, len(FACTS[0]), 0, len(FACTS[0]))


def test_unrelated_texts_share_nothing():
    assert SHORT.pair(" ".join(FACTS[:3]), " ".join(OTHER)) == []


@pytest.mark.parametrize(
    "texts", [("", ""), ("a", ""), ("", "..."), ("😀", "😀"), ("?!", "?!"), ("\ud800 \0", "\ud800 \0")]
)
def test_texts_with_nothing_to_compare(texts: tuple[str, str]):
    assert SHORT.pair(*texts) == []


def test_a_long_run_is_verbatim_and_stands_alone():
    copied = " ".join(FACTS[:4]).rstrip(".")
    susp = f"{OTHER[0]} {copied} {OTHER[1]} Clocks in a cellar, her brother repaired them beneath the bakery."
    (passage,) = SHORT.pair(susp, " ".join(FACTS))
    assert passage.kind == "verbatim"
    assert susp[passage.susp_start : passage.susp_end] == copied
    with_others = Aligner(SHORT.background, passage_chars=0, verbatim_chars=200, verbatim_alone=False)
    assert [p.kind for p in with_others.pair(susp, " ".join(FACTS))][:1] == ["verbatim"]


def test_a_common_phrase_carries_few_bits_and_a_rare_one_many():
    texts = ["Thank you for calling our office today."] * 200 + FACTS
    aligner = Aligner.fit(texts, passage_chars=0, passage_bits=0.0, dice=0.0, cosine=0.0, passage_cosine=0.0)
    common = sum(p.bits for p in aligner.pair(texts[0], texts[0]))
    rare = sum(p.bits for p in aligner.pair(FACTS[0], FACTS[0]))
    assert rare > 3 * common


def test_a_summary_draws_on_places_far_apart():
    filler = [
        f"Filler {w} {w}ing quietly {w}ed nowhere {w}s."
        for w in ("blarg", "quonk", "zimmer", "fropp", "gleeb", "norvil")
    ]
    src = " ".join([FACTS[0], *filler, FACTS[3], *[f.replace("Filler", "Stuffing") for f in filler], FACTS[5]])
    susp = "The harbour master counted eleven painted boats. The frozen river carried merchants to winter markets."
    aligner = Aligner(SHORT.background, passage_chars=0, passage_cosine=0.1, prior=1e6)
    (passage,) = aligner.pair(susp, src)
    assert passage.kind == "summary"
    assert src[passage.src_start : passage.src_end].startswith(FACTS[0])
    assert FACTS[3] in src[passage.src_start : passage.src_end]


def planted(num: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Suspicious texts, each with a reworded piece of its source between two rows that have nothing to do with it."""
    rng = random.Random(seed)
    rows = rng.sample(CORPUS, 3 * num) if 3 * num <= len(CORPUS) else rng.choices(CORPUS, k=3 * num)
    susp = []
    for src, before, after in zip(rows[:num], rows[num : 2 * num], rows[2 * num :], strict=True):
        words = [word for word in src.split() if rng.random() < 0.8]
        susp.append(f"{before} {' '.join(words)} {after}")
    return susp, rows[:num]


def test_a_batch_says_what_the_pairs_say_one_by_one_in_any_order():
    susp, src = planted(30)
    pairs = np.array([(i, j) for i in range(30) for j in (i, (i + 1) % 30)])
    batch = SHORT.align(SHORT.read(susp), SHORT.read(src), pairs)
    for p, (i, j) in enumerate(pairs):
        assert batch.passages(p) == SHORT.pair(susp[i], src[j])
    turned = SHORT.align(SHORT.read(susp), SHORT.read(src), pairs[::-1])
    assert [turned.passages(p) for p in range(len(pairs))][::-1] == [batch.passages(p) for p in range(len(pairs))]
    assert sum(len(batch.passages(p)) > 0 for p in range(0, 60, 2)) >= 25
    assert batch.spans.shape == (batch.offsets[-1], 4) and batch.bits.shape == batch.kinds.shape == (batch.offsets[-1],)
    assert {KINDS[k] for k in batch.kinds} <= set(KINDS)


def test_no_pairs():
    nothing = SHORT.align(SHORT.read([]), SHORT.read(["x"]), np.empty((0, 2), np.int64))
    assert isinstance(nothing, Alignments) and nothing.bits.size == 0


def test_the_background_counts_sentences_and_words_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch):
    texts = ["The cat sat here. The the the!", "A cat."]
    whole = background_of(texts)
    monkeypatch.setattr("remanence.text.prepared.CHUNK", 1)
    parts = background_of(iter(texts))
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    # the: 2 of 3 sentences, 4 words; cat: 2 and 2; sat, here, a: 1 and 1.
    assert sorted(zip(whole.sentences.tolist(), whole.words.tolist(), strict=True)) == [(1, 1)] * 3 + [(2, 2), (2, 4)]
    assert whole.num_sentences == 3


def test_a_sentence_of_fewer_than_three_words_joins_the_next_and_a_last_one_the_one_before():
    read = SHORT.read(["Oh no. It rained all day. Too bad.", "Yes."])
    assert list(zip(read.bags.starts.tolist(), read.bags.ends.tolist(), strict=True)) == [(0, 34), (0, 4)]
    assert read.first_words.tolist() == [0, 8, 9]


def test_a_corpus_without_words_teaches_nothing():
    with pytest.raises(ValueError, match="no words"):
        Aligner.fit(["", "..."])


@pytest.mark.slow
def test_the_development_pairs(shared_data: Path):
    """At least as good as the 2015 detector in every class, and no more than one false alarm on 200 innocent pairs."""
    folder = shared_data / "pan13_text_alignment"
    with gzip.open(folder / "documents.jsonl.gz", "rt", encoding="utf-8") as handle:
        documents = {row["id"]: row["text"] for row in map(json.loads, handle)}
    with gzip.open(folder / "pairs.jsonl.gz", "rt", encoding="utf-8") as handle:
        gold = [json.loads(line) for line in handle]
    place = {name: i for i, name in enumerate(documents)}
    aligner = Aligner.fit(documents.values())
    read = aligner.read(list(documents.values()))
    found = aligner.align(read, read, np.array([(place[p["susp"]], place[p["src"]]) for p in gold]))
    spans = [[Passages(*p[:4]) for p in found.passages(i)] for i in range(len(gold))]
    cases = [[Passages(a, a + n, b, b + m) for a, n, b, m in p["cases"]] for p in gold]

    def score(category: str) -> float:
        rows = [i for i, p in enumerate(gold) if category in p["category"]]
        return plagdet([cases[i] for i in rows], [spans[i] for i in rows]).plagdet

    assert score("") >= 0.93
    for category, reference in (("no-obf", 0.9837), ("random", 0.8722), ("translation", 0.8757), ("summary", 0.6742)):
        assert score(category) > reference
    assert sum(bool(spans[i]) for i, p in enumerate(gold) if p["category"] == "no-plagiarism") <= 1
