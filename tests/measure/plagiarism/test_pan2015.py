"""The published detector: its labels on texts made by hand, its defects, and its plain twin on hundreds of pairs."""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nltk", reason="nltk (the extra pan2015) is not installed")
sys.path.insert(0, str(Path(__file__).parent))
from slow_pan2015 import slow_pan2015

from remanence.corpora.casebook.corpus import private_corpus
from remanence.measure.plagiarism.pan2015 import Documents, Pan2015, Verdict, _tools
from remanence.text.sentences import sentence_spans

OURS = Pan2015(splitter="remanence")
SHORT = Pan2015(passage_chars=50, verbatim_chars=50, splitter="remanence")
FACTS = [
    "The harbour master counted eleven painted boats before breakfast.",
    "Nobody remembered who had planted the crooked walnut tree.",
    "Her brother repaired clocks in a cellar beneath the bakery.",
    "A frozen river carried the merchants safely towards winter markets.",
    "Copper kettles whistled while the children argued about geography.",
    "Several lanterns burned all night inside the abandoned observatory.",
]
OTHER = ["Completely unrelated remarks about taxation follow here.", "Parliament debated railway tariffs yesterday."]


def one(detector: Pan2015, susp: str, src: str) -> Verdict:
    return detector.compare(detector.read([susp]), detector.read([src]), np.array([[0, 0]]))[0]


def test_a_copied_sentence_is_verbatim_and_its_run_is_the_passage():
    susp, src = f"{OTHER[0]} {FACTS[0]} {OTHER[1]}", f"{FACTS[1]} {FACTS[0]} {FACTS[2]}"
    verdict = one(SHORT, susp, src)
    assert verdict.label == "verbatim"
    (passage,) = verdict.passages
    assert susp[passage.susp_start : passage.susp_end] == FACTS[0].rstrip(".")
    assert src[passage.src_start : passage.src_end] == FACTS[0].rstrip(".")


def test_nothing_in_common_is_none():
    assert one(SHORT, " ".join(FACTS[:3]), " ".join(OTHER)) == Verdict("none", [])


def test_a_copy_of_a_single_sentence_is_never_found_d1():
    # Two sentences in all, and each word stands in both: log(2 / 2) = 0, so no word weighs anything.
    assert one(SHORT, FACTS[0], FACTS[0]).label == "none"
    assert one(SHORT, FACTS[0], f"{FACTS[0]} {OTHER[0]}").label == "verbatim"


def test_the_summary_test_looks_at_the_side_it_is_told_d3():
    short = "The harbour master counted eleven painted boats; merchants went safely towards winter markets."
    long = " ".join([FACTS[0], FACTS[1], OTHER[0], FACTS[2], FACTS[4], OTHER[1], FACTS[5], FACTS[3]])
    settings: dict[str, Any] = {"passage_chars": 20, "fragment_cosine": 0.1, "splitter": "remanence"}
    intended, published = (Pan2015(**settings, summary_test=t) for t in ("intended", "published"))
    assert one(intended, short, long).label == one(published, long, short).label == "idea"
    assert one(published, short, long).label == one(intended, long, short).label == "paraphrase"


def test_joined_sentences_forget_the_space_between_them_d8():
    susp = f"{OTHER[0]} So so. {FACTS[0]}"
    (passage,) = one(Pan2015(passage_chars=20, splitter="remanence"), susp, f"{FACTS[0]} {FACTS[1]}").passages
    assert susp[passage.susp_start : passage.susp_end] == f"So so. {FACTS[0]}"[:-1]


def test_the_first_candidate_with_any_detection_decides_d7():
    weak = f"{FACTS[1]} {' '.join(reversed(FACTS[0].split()))} {FACTS[2]}"
    strong = f"{FACTS[0]} {FACTS[3]}"
    susp = SHORT.read([f"{FACTS[0]} {OTHER[0]}", OTHER[1]])
    src = SHORT.read([" ".join(OTHER[:0] + FACTS[3:]), weak, strong])
    decided = SHORT.walk(susp, src, [[0, 1, 2], [0, 1, 2]])
    assert (decided[0].label, decided[0].candidate) == ("paraphrase", 1)
    assert (decided[1].label, decided[1].candidate, decided[1].passages) == ("none", -1, [])


def test_the_settings_of_the_papers():
    assert Pan2015.zeng2024() == Pan2015(passage_chars=50, verbatim_chars=50, summary_test="published")


def test_both_sides_must_be_cut_by_the_same_rules():
    documents = OURS.read(["x"])
    with pytest.raises(ValueError, match="same rules"):
        OURS.compare(documents, Documents(*documents[:-1], "punkt_tab"), np.array([[0, 0]]))


def test_empty_texts_and_no_pairs():
    assert one(OURS, "", "") == one(OURS, "...", "") == Verdict("none", [])
    assert OURS.compare(OURS.read([]), OURS.read([]), np.empty((0, 2), np.int64)) == []


def test_an_absent_punkt_is_told(monkeypatch: pytest.MonkeyPatch):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [])
    with pytest.raises(ValueError, match="punkt_tab"):
        Pan2015(splitter="punkt").read(["x"])
    assert Pan2015().read(["x"]).splitter == "sentences-1"


def test_without_nltk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "nltk.stem.snowball", None)
    monkeypatch.setattr("remanence.measure.plagiarism.pan2015._tools", _tools.__wrapped__)
    with pytest.raises(ValueError, match=r"pip install remanence\[pan2015\]"):
        Pan2015().read(["x"])


def disturbed(sentences: list[str], rng: random.Random) -> str:
    """Some sentences copied, some reworded, some shortened, in any order."""
    out = []
    for sentence in rng.sample(sentences, rng.randint(0, len(sentences))):
        words = sentence.split()
        how = rng.randrange(4)
        if how == 1:
            rng.shuffle(words)
        elif how == 2:
            words = [word for word in words if rng.random() < 0.7]
        elif how == 3:
            words = [word if rng.random() < 0.8 else "changed" for word in words]
        out.append(" ".join(words))
    return " ".join(out)


def made_pairs(num: int) -> list[tuple[str, str]]:
    """Pairs from casebook rows: the suspicious text takes some of the source's sentences and some of another's."""
    rows = [r.text or f"{r.prompt} {r.completion}" for r in private_corpus(seed=5, num_rows=200, num_heldout=0).train]
    rng = random.Random(11)
    pairs = []
    for _ in range(num):
        src = " ".join(rng.sample(rows, rng.randint(1, 4)))
        taken = disturbed([src[a:b] for a, b in sentence_spans(src)], rng)
        other = " ".join(rng.sample(rows, rng.randint(0, 2)))
        pairs.append((f"{taken} {other}", src))
    return pairs


def disagreements(detector: Pan2015, pairs: list[tuple[str, str]]) -> tuple[list[int], set[str]]:
    """Pairs on which the twin says something else, and the labels that occurred."""
    susp, src = detector.read([p[0] for p in pairs]), detector.read([p[1] for p in pairs])
    verdicts = detector.compare(susp, src, np.stack([np.arange(len(pairs))] * 2, axis=1))
    wrong = [
        i
        for i, ((a, b), verdict) in enumerate(zip(pairs, verdicts, strict=True))
        if slow_pan2015(detector, a, b, sentence_spans) != (verdict.label, {tuple(p) for p in verdict.passages})
    ]
    return wrong, {verdict.label for verdict in verdicts}


@pytest.mark.parametrize(
    "detector", [SHORT, Pan2015(passage_chars=50, summary_test="published", splitter="remanence"), OURS]
)
def test_the_twin_agrees_on_made_pairs(detector: Pan2015):
    wrong, labels = disagreements(detector, made_pairs(100))
    assert wrong == []
    assert len(labels) > 1


@pytest.mark.slow
def test_the_twin_agrees_on_300_real_pairs(shared_data: Path):
    """150 pairs of web pages of all classes, at the detector's limits; 150 of short dialogues and summaries, at 50."""
    folder = shared_data / "pan13_text_alignment"
    with gzip.open(folder / "documents.jsonl.gz", "rt", encoding="utf-8") as handle:
        texts = {row["id"]: row["text"] for row in map(json.loads, handle)}
    with gzip.open(folder / "pairs.jsonl.gz", "rt", encoding="utf-8") as handle:
        gold = [json.loads(line) for line in handle]
    short = [p for p in gold if len(texts[p["susp"]]) + len(texts[p["src"]]) < 40_000]
    pages = [(texts[p["susp"]], texts[p["src"]]) for p in random.Random(1).sample(short, 150)]
    with gzip.open(shared_data / "dialogsum" / "train.jsonl.gz", "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for _, line in zip(range(600), handle, strict=False)]
    rng = random.Random(2)
    talks = [(rng.choice(rows)["dialogue"], row["dialogue"]) for row in rng.sample(rows, 50)]
    talks += [(row["summary"], row["dialogue"]) for row in rng.sample(rows, 50)]
    talks += [
        (disturbed([row["dialogue"][a:b] for a, b in sentence_spans(row["dialogue"])], rng), row["dialogue"])
        for row in rng.sample(rows, 50)
    ]
    wrong_pages, labels = disagreements(OURS, pages)
    wrong_talks, short_labels = disagreements(SHORT, talks)
    assert (wrong_pages, wrong_talks) == ([], [])
    assert labels | short_labels == {"none", "verbatim", "idea", "paraphrase"}
