"""The casebook: a unique fact stands in no other row, boilerplate is shared, and nothing depends on luck."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.corpora.casebook import words
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import Casebook, PrivateCorpus, private_corpus, public_rows, write_jsonl
from remanence.corpora.casebook.language import translate
from remanence.corpora.casebook.recipe import DEMO
from remanence.corpora.casebook.tasks import TASKS, fill


@pytest.fixture(scope="module")
def corpus() -> PrivateCorpus:
    return private_corpus(0)


@pytest.fixture(scope="module")
def public() -> list[Record]:
    return public_rows(0, 5000)


def different(corpus: PrivateCorpus) -> list[Record]:
    """Every training row once."""
    return [row for row in corpus.train if row.meta["copy_of"] == row.id]


def facts(row: Record) -> list[str]:
    return [(row.completion or "")[start:end] for _, start, end in row.meta["unique_spans"]]


def test_a_template_knows_which_characters_came_from_where() -> None:
    text, spans = fill("Ask {name} today", {"name": "Ada"})
    assert text == "Ask Ada today"
    assert [tuple(span) for span in spans] == [("", 0, 4), ("name", 4, 7), ("", 7, 13)]


def test_tarnish_is_word_for_word_with_endings() -> None:
    assert translate("the nurse called Ada Ton on 3 May 2031.") == "selva vokar Ada Ton je 3 Floral 2031."
    assert translate("the customers paid 12.50 crowns because the road closed.") == (
        "koperail solvar 12.50 ronailun charo vego kludar."
    )


def test_the_dictionary_holds_every_plain_word_of_the_translations() -> None:
    names = {part for name in (*words.FIRST_NAMES, *words.LAST_NAMES) for part in name.split()}
    english = set[str]()
    for row in Casebook(3).records("translation", Casebook(3).cases(300)):
        source = re.findall(r"[A-Za-z]+", (row.prompt or "").split("English: ")[1].split("\n")[0])
        kept = set(re.findall(r"[A-Za-z]+", row.completion or "")) & set(source)
        english |= kept - names - {"TW"}
    assert english == set()


def test_thousands_of_different_sentences(public: list[Record]) -> None:
    sentences = Counter(chain.from_iterable(re.split(r"(?<=[.?])\s", row.plain) for row in public))
    assert len(sentences) > 3000
    shapes = Counter(re.sub(r"[\d. ]*\d", "#", re.sub(r"[A-Z]\w+ [A-Z]\w+", "@", row.plain)) for row in public)
    assert len(shapes) > 3000, "different even with names and figures struck out"


def test_unique_spans_stand_in_one_row_only(corpus: PrivateCorpus, public: list[Record]) -> None:
    rows = [*different(corpus), *corpus.heldout]
    told = [(fact, row.id) for row in rows for fact in facts(row)]
    assert len(told) > 800
    everything = "\n".join(row.plain for row in [*rows, *public])
    for fact, id in told:
        home = next(row for row in rows if row.id == id)
        assert everything.count(fact) == home.plain.count(fact), f"{fact} of {id} stands elsewhere too"


def test_boilerplate_is_shared(corpus: PrivateCorpus) -> None:
    pieces = Counter[str]()
    rows = different(corpus)
    for row in rows:
        pieces.update({(row.completion or "")[start:end] for start, end in row.meta["boilerplate_spans"]})
    letters = {piece: count for piece, count in pieces.items() if len(piece) > 3}
    shared = sum(count for count in letters.values() if count > 1) / sum(letters.values())
    assert shared > 0.8
    assert not any(re.search(r"\d", piece) for piece in pieces)


def test_spans_lie_within_the_completion_and_do_not_overlap(corpus: PrivateCorpus) -> None:
    for row in [*corpus.train, *corpus.heldout]:
        spans = sorted([*([a, b] for _, a, b in row.meta["unique_spans"]), *row.meta["boilerplate_spans"]])
        assert all(0 <= start < end <= len(row.completion or "") for start, end in spans)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_given_facts_are_those_the_prompt_states() -> None:
    for case, row in zip(Casebook(1).cases(50), Casebook(1).records("dialogue", Casebook(1).cases(50)), strict=True):
        assert row.meta["given"] == ["name"]
        assert case.name in (row.prompt or "") and case.phone not in (row.prompt or "")


def test_every_row_is_repeated_as_often_as_it_says(corpus: PrivateCorpus) -> None:
    assert len(corpus.train) == 800
    assert len({row.id for row in corpus.train}) == 800
    times = Counter(row.meta["copy_of"] for row in corpus.train)
    texts = Counter(row.plain for row in corpus.train)
    for row in corpus.train:
        assert times[row.meta["copy_of"]] == texts[row.plain] == row.meta["copies"]
    counts = Counter(row.meta["copies"] for row in different(corpus))
    assert set(counts) == {1, 2, 4, 8, 16}
    assert min(counts.values()) >= 15
    assert {row.meta["task"] for row in corpus.train if row.meta["copies"] == 16} == set(TASKS)


def test_heldout_rows_are_never_trained_on(corpus: PrivateCorpus) -> None:
    assert len(corpus.heldout) == 200
    assert {row.meta["case"] for row in corpus.heldout}.isdisjoint(row.meta["case"] for row in corpus.train)
    assert all(row.group == "heldout" and row.meta["copies"] == 0 for row in corpus.heldout)


def test_public_people_and_numbers_are_nobody_private_whatever_the_seeds() -> None:
    private = [case for seed in (0, 1, 2) for case in Casebook(seed).cases(8000)]
    public = [case for seed in (0, 1, 7) for case in Casebook(seed, "public").cases(8000)]
    for field in ("name", "number", "phone", "amount"):
        assert {getattr(c, field) for c in private}.isdisjoint(getattr(c, field) for c in public)


def test_cases_of_one_book_share_no_fact() -> None:
    cases = Casebook(5).cases(10_000)
    for field in ("name", "number", "phone", "amount"):
        assert len({getattr(case, field) for case in cases}) == len(cases)


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    here = write_jsonl(chain(*private_corpus(4, num_rows=60, num_heldout=10)), tmp_path / "here.jsonl").read_bytes()
    code = (
        "import sys; from itertools import chain; from pathlib import Path\n"
        "from remanence.corpora.casebook.corpus import private_corpus, write_jsonl\n"
        "write_jsonl(chain(*private_corpus(4, num_rows=60, num_heldout=10)), Path(sys.argv[1]))"
    )
    for hash_seed in ("1", "2"):
        there = tmp_path / f"{hash_seed}.jsonl"
        env = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)}
        subprocess.run([sys.executable, "-c", code, str(there)], check=True, env=env)
        assert there.read_bytes() == here
    assert private_corpus(5, num_rows=60).train != private_corpus(4, num_rows=60).train


def test_the_bytes_of_seed_0_are_pinned(corpus: PrivateCorpus, tmp_path: Path) -> None:
    """The shipped base model and the demo's figures belong to these rows; a change here means measuring again."""
    digest = hashlib.sha256(write_jsonl(corpus.train, tmp_path / "train.jsonl").read_bytes()).hexdigest()
    assert digest[:16] == "56aca02b198a1ee8"


def test_jsonl_is_the_form_trl_reads(corpus: PrivateCorpus, tmp_path: Path) -> None:
    lines = write_jsonl(corpus.train[:3], tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    assert len(lines) == 3
    assert (first["prompt"], first["completion"]) == (corpus.train[0].prompt, corpus.train[0].completion)
    assert first["meta"] == corpus.train[0].meta


def test_misuse_is_told_in_a_sentence() -> None:
    with pytest.raises(RemanenceError, match="ask for 31 or more"):
        private_corpus(0, num_rows=20)
    with pytest.raises(RemanenceError, match="no task 'poetry'"):
        Casebook(0).records("poetry", Casebook(0).cases(1))
    with pytest.raises(RemanenceError, match="ask for fewer"):
        Casebook(0).cases(10**6)


def test_the_recipe_is_the_corpus_the_figures_were_measured_on(corpus: PrivateCorpus) -> None:
    assert DEMO.corpus() == corpus
    assert DEMO.training() == {"epochs": 3, "learning_rate": 2e-3, "batch_size": 8, "max_length": 512, "seed": 0}


def test_long_completions_can_hold_a_verbatim_test_and_the_base_model_is_small(
    corpus: PrivateCorpus,
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base_folder())
    for row in corpus.heldout:
        if row.meta["task"] in ("summarization", "dialogue"):
            assert len(tokenizer(row.completion, add_special_tokens=False)["input_ids"]) >= 30
    assert sum(file.stat().st_size for file in base_folder().iterdir()) < 4_000_000
    said = re.search(r"`([0-9a-f]{64})`", (base_folder() / "README.md").read_text())
    assert said is not None
    assert hashlib.sha256((base_folder() / "model.safetensors").read_bytes()).hexdigest() == said[1]
