"""The shipped base models: they open, they read no private fact, and they know public rows they never saw."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from remanence.core.record import Record
from remanence.core.target import Prompt
from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import Casebook, private_corpus, public_rows
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_model
from remanence.models.render import Renderer

FAMILIES = ("causal", "seq2seq")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def seq2seq() -> HuggingFace:
    loaded = load_model(base_folder("seq2seq"))
    renderer = Renderer(loaded.tokenizer, seq2seq=True)
    return HuggingFace(loaded.model, loaded.tokenizer, renderer, loaded.name, loaded.fingerprint, loaded.family)


@pytest.fixture(scope="module")
def unseen() -> list[Record]:
    """Public rows of another seed than the one that the base was made of."""
    return public_rows(told_of("seq2seq")[0] + 1, 100)


def told_of(family: str) -> tuple[int, int]:
    """Seed and number of rows of the command that the README beside the weights gives."""
    readme = (base_folder(family) / "README.md").read_text()  # pyright: ignore[reportArgumentType]
    found = re.search(r"--seed (\d+) --rows (\d+)", readme)
    assert found is not None
    return int(found[1]), int(found[2])


def nats_per_token(target: HuggingFace, records: Sequence[Record]) -> float:
    """Mean loss over all target tokens of the records."""
    table = [row for row in target.score(records, ["logprob"]) if not isinstance(row, str)]
    assert len(table) == len(records)
    return -float(np.concatenate([row.scored("logprob") for row in table]).mean())


def entropy(tokens: Sequence[int]) -> float:
    """Nats per token of the best model that knows nothing but how often each of these very tokens occurs."""
    return -sum(n / len(tokens) * math.log(n / len(tokens)) for n in Counter(tokens).values())


def test_two_tokens_of_equal_frequency_have_ln_2_nats() -> None:
    assert entropy([5, 6, 5, 6]) == pytest.approx(math.log(2))


def test_both_families_have_a_folder_and_causal_is_the_default() -> None:
    assert base_folder() == base_folder("causal") != base_folder("seq2seq")
    assert [load_model(base_folder(family)).family for family in FAMILIES] == list(FAMILIES)


def test_source_and_target_end_in_the_end_mark_and_nothing_stands_before_them(seq2seq: HuggingFace) -> None:
    row = seq2seq.render(Record("a", prompt="Ask me:", completion=" yes"))
    plain = [seq2seq.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Ask me:", " yes")]
    end = seq2seq.tokenizer.eos_token_id
    assert row.source is not None
    assert [row.source.tolist(), row.ids.tolist()] == [[*ids, end] for ids in plain]
    assert row.supervised.all()


def test_the_two_bases_share_their_tokens() -> None:
    words = [load_model(base_folder(family)).tokenizer.get_vocab() for family in FAMILIES]
    assert words[0] == words[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_private_fact_stood_in_the_rows_that_a_base_read(family: str) -> None:
    """By field whatever the private seed; for the demo's own rows, letter by letter in the slow test below."""
    seed, num_rows = told_of(family)
    public = Casebook(seed, "public").cases(num_rows)
    private = [case for private_seed in (0, 1, 2) for case in Casebook(private_seed).cases(3000)]
    for field in ("name", "number", "phone", "amount"):
        assert {getattr(c, field) for c in private}.isdisjoint(getattr(c, field) for c in public)


@pytest.mark.slow
def test_no_unique_span_of_the_demo_stands_in_the_text_that_the_encoder_decoder_read() -> None:
    everything = "\n".join(row.plain for row in public_rows(*told_of("seq2seq")))
    corpus = private_corpus(0)
    rows = [row for row in [*corpus.train, *corpus.heldout] if row.meta["copies"] in (0, 16)]
    facts = {(row.completion or "")[start:end] for row in rows for _, start, end in row.meta["unique_spans"]}
    assert len(facts) > 200
    assert not [fact for fact in facts if fact in everything]


def test_it_knows_unseen_public_rows_better_than_token_counts_do(seq2seq: HuggingFace, unseen: list[Record]) -> None:
    tokens = [int(i) for row in unseen for i in seq2seq.render(row).ids]
    assert nats_per_token(seq2seq, unseen) < entropy(tokens) / 2


def test_it_reads_the_source(seq2seq: HuggingFace, unseen: list[Record]) -> None:
    """A completion after another row's prompt of the same task is harder to write."""
    tasks = sorted({row.meta["task"] for row in unseen})
    for task in tasks:
        rows = [row for row in unseen if row.meta["task"] == task]
        swapped = [replace(row, prompt=rows[i - 1].prompt) for i, row in enumerate(rows)]
        assert nats_per_token(seq2seq, rows) < nats_per_token(seq2seq, swapped), task


def test_it_answers_and_stops(seq2seq: HuggingFace, unseen: list[Record]) -> None:
    rendered = [seq2seq.render(row) for row in unseen[:20]]
    prompts = [Prompt(str(i), row.ids[:0], row.ids, row.source) for i, row in enumerate(rendered)]
    said = seq2seq.generate(prompts, 160)
    assert sum(answer.ids[-1] == seq2seq.tokenizer.eos_token_id for answer in said) >= 15


def test_the_folder_is_small_and_the_weights_are_those_of_the_readme() -> None:
    folder: Path = base_folder("seq2seq")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3_000_000
    said = re.search(r"`([0-9a-f]{64})`", (folder / "README.md").read_text())
    assert said is not None
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() == said[1]
