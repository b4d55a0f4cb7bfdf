"""What a `PeftModel` says with its adapter switched off, once it is sure that this is the base model."""

from __future__ import annotations

from typing import Any

from remanence.core.errors import RemanenceError
from remanence.core.table import Rendered
from remanence.jobs.trainer.look import Facts, facts_table, read_facts
from remanence.jobs.trainer.probe import Probe
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.huggingface import HuggingFace
from remanence.models.load import load_base
from remanence.models.same_base import adapter_off, left_on, require_same_base
from remanence.models.weights import model_folder
from remanence.training.reference import preserve_training_state

ROWS = 4
"""Probe rows on which the logits are compared."""


def facts_of_base(target: HuggingFace, model: Any, probe: Probe, measure: Discoverable) -> Facts:
    """The probe rows' facts with the adapter off.

    Raises `RemanenceError` when the model has no adapter, or when with its adapter off it is not the base model that
    its config names; where that cannot be opened, when anything is trained that switching off does not take back.
    """
    if not hasattr(model, "peft_config"):
        raise RemanenceError("base='disabled' is for a PEFT model, and this has no adapter: leave base at 'start'.")
    with preserve_training_state(model):
        _check(model, [row for row in probe.rows if isinstance(row, Rendered)][:ROWS])
        with adapter_off(model):
            return read_facts(facts_table(target, probe.rows, measure))


def _check(model: Any, rows: list[Rendered]) -> None:
    config = next(iter(model.peft_config.values()))
    named = getattr(config, "base_model_name_or_path", None)
    base = None
    if named:
        try:
            folder = model_folder(named, allow_network=False)
            base = load_base(folder, base=folder)
        except RemanenceError:
            base = None
    if base is not None:
        _ = require_same_base(model, base.model, rows, name=base.name)
        return
    trained = left_on(model)
    if trained:
        raise RemanenceError(
            f"The adapter names no base model that can be opened, and {len(trained)} weights are trained that "
            f"switching it off does not take back ({trained[0]}, ...): leave base at 'start'."
        )
