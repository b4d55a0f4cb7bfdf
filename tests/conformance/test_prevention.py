"""Contract of every mitigation that fine-tunes the base model again; new files are tested too."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import import_module
from typing import Any

import pytest

from remanence.core.catalogue import Entry, entries
from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.mitigate.training.base import TrainedFromBase
from remanence.models.parrot import Parrot
from remanence.training.settings import TrainingSettings

MITIGATIONS = [entry for entry in entries() if entry.wing == "mitigate/training"]
every = pytest.mark.parametrize("entry", MITIGATIONS, ids=lambda e: e.name)


def system(entry: Entry) -> Any:
    return getattr(import_module(f"remanence.mitigate.training.{entry.name}"), entry.cls)()


def test_there_is_something_to_hold_to_it():
    found = {entry.name for entry in MITIGATIONS}
    assert found >= {"goldfish", "multitask", "deduplicate", "dp_sgd", "early_stopping", "cit"}


@every
def test_the_header_is_whole_and_the_defaults_are_enough(entry: Entry):
    assert entry.title and entry.caption.endswith(("?", ".")) and "arXiv" in entry.paper
    assert entry.cls.lower() == entry.name.replace("_", "") and entry.needs == "Opens"
    made = system(entry)
    assert hash(made) == hash(system(entry)) and made == system(entry), "a frozen dataclass with defaults"
    assert made.__doc__ and type(made).__call__.__doc__
    assert isinstance(made, TrainedFromBase) and made.trains_from_base
    assert isinstance(made.training, TrainingSettings) and made.out is None
    own = {field.name for field in fields(made)} - {"training"}
    assert not own & {field.name for field in fields(TrainingSettings)}, "training parameters stand in one place"


@every
def test_training_parameters_as_keywords_are_deprecated(entry: Entry):
    cls = type(system(entry))
    with pytest.warns(DeprecationWarning, match="epochs is now training.epochs, seed is now training.seed"):
        old = cls(epochs=2, seed=5)
    assert old == cls(training=replace(cls().training, epochs=2, seed=5))


@every
def test_a_target_that_cannot_be_trained_is_refused_in_a_sentence(entry: Entry):
    records = [Record(str(i), text=f"row {i}", meta={"task": "summarization" if i else "qa"}) for i in range(4)]
    if entry.name == "dp_sgd":
        pytest.importorskip("opacus", reason="opacus is not installed: pip install 'remanence[dp]'")
    with pytest.raises(RemanenceError, match="parrot cannot be fine-tuned"):
        system(entry)(Parrot(), records)
