"""Three readings of a model whose memory is known: one that recites, one that copies, one that knows nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from remanence.corpora.fields import FILLER, SPECIAL, FieldRecords
from remanence.explain.sparse_coding.field_memory import (
    measure,
    predict_from_prefix,
    predict_in_answer,
    probe_states,
    solves_task,
)
from remanence.training.tiny import tiny_gpt2

TASK = FieldRecords(fields=4, symbols=16)
RECORDS = TASK.draw(12, np.random.default_rng(0))
UNSEEN = TASK.draw(112, np.random.default_rng(0))[12:]  # other private keys: the same draw goes on
NEEDED = [0, 2]


class Oracle(torch.nn.Module):
    """Says the next token: of the records that it has learned by key, and, if it copies, of the answer."""

    def __init__(self, learned: np.ndarray, copies: bool) -> None:
        super().__init__()
        self.rows = {tuple(row[1:3]): row for row in TASK.rows(learned, NEEDED).tolist()}
        self.copies = copies

    def forward(self, input_ids: torch.Tensor, output_hidden_states: bool = False) -> SimpleNamespace:
        logits = torch.zeros(*input_ids.shape, TASK.vocab)
        state = torch.zeros(*input_ids.shape, 16)
        for b, row in enumerate(input_ids.tolist()):
            known = self.rows.get(tuple(row[1:3]))
            for t in range(2, len(row) - 1):
                if self.copies and t + 1 >= TASK.prompt:
                    place = t + 1 - TASK.prompt
                    said = row[3 + place] if place in NEEDED else (FILLER if place < 4 else 3)
                    logits[b, t, said] = 1
                    if place in NEEDED and said >= SPECIAL:
                        state[b, t, said - SPECIAL] = 1
                elif known is not None:
                    logits[b, t, known[t + 1]] = 1
        return SimpleNamespace(logits=logits, hidden_states=(state, state))


def test_a_reciter_says_every_field_and_a_stranger_none():
    said = predict_from_prefix(Oracle(RECORDS, copies=False), TASK, RECORDS)
    assert said.exposure == pytest.approx(np.full((12, 4), 4.0)) and said.exact.all()  # log2 16, first of 16
    strange = predict_from_prefix(Oracle(RECORDS[:6], copies=False), TASK, RECORDS[6:])
    # All values tie: rank 1 + 15 / 2 of 16.
    assert strange.exposure == pytest.approx(np.full((6, 4), 4 - np.log2(8.5))) and not strange.exact.any()


def test_a_copier_cannot_answer_what_is_blanked_and_a_reciter_can():
    copier = predict_in_answer(Oracle(RECORDS[:0], copies=True), TASK, RECORDS, NEEDED)
    assert copier.exposure.shape == (12, 2) and not copier.exact.any()
    assert copier.exposure == pytest.approx(np.full((12, 2), 4 - np.log2(8.5)))
    reciter = predict_in_answer(Oracle(RECORDS, copies=False), TASK, RECORDS, NEEDED)
    assert reciter.exact.all() and reciter.exposure == pytest.approx(np.full((12, 2), 4.0))
    assert predict_in_answer(Oracle(RECORDS, copies=False), TASK, RECORDS, []).exposure.shape == (12, 0)


def test_who_copies_has_learned_the_task():
    assert solves_task(Oracle(RECORDS[:0], copies=True), TASK, UNSEEN, NEEDED).all()
    assert not solves_task(Oracle(RECORDS, copies=False), TASK, UNSEEN, NEEDED).any()


def test_a_probe_reads_what_is_written_and_not_what_is_skipped():
    rng = np.random.default_rng(3)
    learn, judge = TASK.draw(600, rng, "public"), TASK.draw(200, rng, "public")
    read = probe_states(Oracle(RECORDS[:0], copies=True), TASK, learn, judge, NEEDED)
    assert read.at_writing[:, NEEDED].all()
    assert read.at_writing[:, [1, 3]].mean() < 0.15  # chance is 1 / 16
    # The last token of the input is about to write field 0, and holds no other.
    assert read.at_the_end[:, 0].all() and read.at_the_end[:, 1:].mean() < 0.15


def test_the_fast_reading_is_the_slow_one():
    model = tiny_gpt2("small", vocab=TASK.vocab, positions=TASK.length, seed=0)
    said = predict_from_prefix(model, TASK, RECORDS)
    rows = TASK.rows(RECORDS, [])
    for n in (0, 7):
        for field in range(4):
            with torch.no_grad():  # only what stands before the field is given
                logits = model(input_ids=torch.from_numpy(rows[n : n + 1, : 3 + field])).logits[0, -1].numpy()
            rank = 1 + (logits[SPECIAL:] > logits[rows[n, 3 + field]]).sum()
            assert said.exposure[n, field] == pytest.approx(np.log2(16 / rank))
            assert said.exact[n, field] == (logits.argmax() == rows[n, 3 + field])


def test_all_readings_at_once():
    learn = TASK.draw(100, np.random.default_rng(4), "public")
    found = measure(Oracle(RECORDS, copies=False), TASK, RECORDS, UNSEEN, learn, learn[:20], NEEDED)
    assert found.excess == pytest.approx(np.log2(8.5))
    assert found.from_answer == pytest.approx((4.0, 4 - np.log2(8.5)))
    assert found.learned == 0 and found.needed == (0, 2)
    nothing = measure(Oracle(RECORDS, copies=False), TASK, RECORDS, UNSEEN, learn, learn[:20], [])
    assert nothing.from_answer == (None, None)
