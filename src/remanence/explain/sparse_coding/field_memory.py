"""What a model keeps of the fields of a record: what it can say of them unasked, and what its states hold of them.

Three readings, all over generated `FieldRecords` and a causal model of token ids:

- *from the record's beginning*: key and earlier fields are given, as in training, and the model rates the values of
  the next field. The only way to ask for a field that no answer ever said.
- *from the answer*: the field is blanked in the input, and the model rates the values at the field's place in the
  answer. Only for fields that the task repeats.
- *from the states*: a linear probe, trained on records that nobody trained the model on, names the field of others.
  That is no memory of training rows; it is what the linear statement is about.

Shapes: N records, m fields, T tokens, C symbols, D numbers of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from remanence.corpora.fields import FILLER, SPECIAL, FieldRecords, Ids
from remanence.explain.sparse_coding.probe import probe_hits
from remanence.stats.exposure import exposure


class Said(NamedTuple):
    """What a model says of the fields of N records."""

    exposure: NDArray[np.float64]
    """[N, m] bits."""
    exact: NDArray[np.bool_]
    """[N, m] whether greedy decoding says the value, out of all tokens."""


def from_the_beginning(model: Any, task: FieldRecords, records: Ids) -> Said:
    """Every field after the key and the true earlier fields."""
    rows = task.rows(records, [])
    return _rated(_logits(model, rows), rows[:, task.inputs_at], task.inputs_at)


def from_the_answer(model: Any, task: FieldRecords, records: Ids, needed: Sequence[int]) -> Said:
    """Every needed field [N, s] at its place in the answer, with that field blanked in the input by a filler."""
    exposures, exact = list[NDArray[np.float64]](), list[NDArray[np.bool_]]()
    for field in needed:
        rows = task.rows(records, needed)
        place, true = task.prompt + field, rows[:, task.prompt + field].copy()
        rows[:, task.inputs_at.start + field] = FILLER
        said = _rated(_logits(model, rows), true[:, None], slice(place, place + 1))
        exposures.append(said.exposure[:, 0])
        exact.append(said.exact[:, 0])
    if not exposures:
        return Said(np.empty((len(records), 0)), np.empty((len(records), 0), dtype=np.bool_))
    return Said(np.stack(exposures, axis=1), np.stack(exact, axis=1))


def answered(model: Any, task: FieldRecords, records: Ids, needed: Sequence[int]) -> NDArray[np.bool_]:
    """[N] whether the model writes the whole right answer, end mark included: has it learned the task?"""
    rows = task.rows(records, needed)
    said = _logits(model, rows)[:, task.prompt - 1 : -1].argmax(-1).numpy()
    return np.asarray((said == rows[:, task.prompt :]).all(axis=1))


class Readable(NamedTuple):
    """Which fields of N new records a probe names right, [N, m] each."""

    at_writing: NDArray[np.bool_]
    """From the state that is about to write the field's place in the answer."""
    at_the_end: NDArray[np.bool_]
    """From the state at the last token of the input."""


def from_the_states(model: Any, task: FieldRecords, learn: Ids, judge: Ids, needed: Sequence[int]) -> Readable:
    """Probes on all layers at once; trained on the records `learn`, judged on the records `judge`."""
    rows, new_rows = task.rows(learn, needed), task.rows(judge, needed)
    states, new_states = _states(model, rows, task.prompt - 1), _states(model, new_rows, task.prompt - 1)
    values, new_values = (r[:, task.inputs_at] - SPECIAL for r in (rows, new_rows))

    def named(field: int, place: int) -> NDArray[np.bool_]:
        return probe_hits(states[:, place], values[:, field], new_states[:, place], new_values[:, field], task.symbols)

    fields = range(task.fields)
    return Readable(
        np.stack([named(field, field) for field in fields], axis=1),
        np.stack([named(field, 0) for field in fields], axis=1),
    )


class Measured(NamedTuple):
    """One fine-tuned model, per record; fields are averaged where a shape has no m."""

    needed: tuple[int, ...]
    exposure: NDArray[np.float64]
    """[N, m] bits, training records, from the record's beginning."""
    floor: NDArray[np.float64]
    """[N, m] the same for records never trained on."""
    exact: NDArray[np.bool_]
    """[N, m] training records: said by greedy decoding."""
    exact_floor: NDArray[np.bool_]
    """[N, m]"""
    from_answer: tuple[float | None, float | None]
    """Mean exposure of needed fields when the answer is asked and the field is blanked: training, never seen."""
    learned: float
    """Share of records never seen that get the whole right answer."""
    at_writing: NDArray[np.bool_]
    """[N', m] new records: fields that a probe reads off the state that writes the field's place."""
    at_the_end: NDArray[np.bool_]
    """[N', m] the same, off the state at the last token of the input."""

    @property
    def excess(self) -> float:
        """Mean exposure of the fields of training records beyond records never seen, bits."""
        return float(self.exposure.mean() - self.floor.mean())


def measure(
    model: Any, task: FieldRecords, trained: Ids, unseen: Ids, learn: Ids, judge: Ids, needed: Sequence[int]
) -> Measured:
    """All readings of one model."""
    own, floor = (from_the_beginning(model, task, records) for records in (trained, unseen))
    answers = [from_the_answer(model, task, records, needed).exposure for records in (trained, unseen)]
    states = from_the_states(model, task, learn, judge, needed)
    return Measured(
        needed=tuple(needed),
        exposure=own.exposure,
        floor=floor.exposure,
        exact=own.exact,
        exact_floor=floor.exact,
        from_answer=(mean_or_none(answers[0]), mean_or_none(answers[1])),
        learned=float(answered(model, task, unseen, needed).mean()),
        at_writing=states.at_writing,
        at_the_end=states.at_the_end,
    )


def mean_or_none(values: NDArray[Any]) -> float | None:
    """The mean, or None of nothing."""
    return float(values.mean()) if values.size else None


def _rated(logits: Tensor, true: Ids, at: slice) -> Said:
    """Ratings of the tokens `true` [N, K] that stand at `at`."""
    before = logits[:, at.start - 1 : at.stop - 1].float().numpy()
    return Said(exposure(before[:, :, SPECIAL:], true - SPECIAL), np.asarray(before.argmax(-1) == true))


@torch.no_grad()
def _logits(model: Any, rows: Ids) -> Tensor:
    """[N, T, vocabulary]"""
    return model(input_ids=torch.from_numpy(rows)).logits


@torch.no_grad()
def _states(model: Any, rows: Ids, start: int) -> NDArray[np.float32]:
    """[N, T - start, D] of all layers, from token `start` on; the first one stands at the last token of the input."""
    hidden = model(input_ids=torch.from_numpy(rows), output_hidden_states=True).hidden_states
    return torch.cat([layer[:, start:] for layer in hidden], dim=-1).float().numpy()
