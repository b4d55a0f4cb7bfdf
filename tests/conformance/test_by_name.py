"""Every measure and attack of the catalogue runs by its name on a model, and every mitigation gives a new target.

Derived from the catalogue: a new file is held to it without an edit here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import validate

import remanence
from remanence.core.catalogue import Entry, entries
from remanence.core.record import Record
from remanence.core.target import Generates, ReadsText, Scores, ScoresRendered
from remanence.jobs.run_schema import run_schema
from remanence.jobs.systems.build import build
from remanence.models.huggingface import HuggingFace
from remanence.models.parrot import Parrot
from remanence.models.render import Renderer

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

import tiny_models

KNOWN = [Record(str(i), text=f"{name} called at noon on {i + 2} May about invoice {4471 + i} and paid thirty euros; "
         f"nobody else was told of it before {name} had left the harbour again.") for i, name in
         enumerate(["Anna Berg", "Jonas Falk", "Clara Holm", "Ida Lind"])]  # fmt: skip
NEW = [Record(str(i), text=f"What {name} wrote to the council that winter has never been read by anyone, since all "
       f"{i + 3} letters were lost at sea with the ship that carried them.") for i, name in
       enumerate(["Eric", "Mia", "Otto", "Lena", "Paul"])]  # fmt: skip
PARROT = Parrot(tuple(KNOWN))

ABLE = {"Generates": Generates, "Scores": Scores, "ScoresRendered": ScoresRendered, "ReadsText": ReadsText}
MEASURED = [entry for entry in entries() if entry.verb in {"Measure", "Attack"}]
MITIGATIONS = [entry for entry in entries() if entry.verb == "Mitigation"]


def opened(seed: int = 0) -> HuggingFace:
    torch.manual_seed(seed)
    tokenizer = tiny_models.make_tokenizer(appends_eos=False, chat_template=tiny_models.PLAIN_TEMPLATE)
    model = tiny_models.make_model("gpt2", tokenizer)
    return HuggingFace(model, tokenizer, Renderer(tokenizer, context=128), f"tiny{seed}", f"{seed:016x}", "causal")


@pytest.mark.parametrize("entry", MEASURED, ids=lambda e: e.name)
def test_it_runs_by_its_name_and_every_row_has_a_score_or_a_reason(entry: Entry, tmp_path: Path):
    known = all(ability in ABLE for ability in entry.abilities)
    target: Any = PARROT if known else opened()
    base = Parrot() if "base model" in entry.needs else None
    short = {} if not any(p.name == "attack" for p in entry.parameters) else {"attack.tokens": 8}
    found = remanence.run(
        entry.name, target, KNOWN, heldout=NEW, base=base, out=tmp_path / "run", settings={"alpha": 0.6},
        show_progress=False, **short,
    )  # fmt: skip
    validate(found.run.spec, run_schema())
    lines = found.run.lines("findings")
    assert [(line["group"], line["id"]) for line in lines if line["target"] == "tuned"] == [
        *(("train", record.id) for record in KNOWN),
        *(("heldout", record.id) for record in NEW),
    ]
    assert all((line["score"] is None) != (line["reason"] is None) for line in lines)
    assert found.verdict["sentences"] and all(s.endswith(".") for s in found.verdict["sentences"])
    page = (found.run.folder / "report.html").read_text(encoding="utf-8")
    assert not any(word in page for word in ("Berg", "Falk", "harbour", "council")), "training text is hidden"
    if known and not short:  # short answers may be too poor in words to be judged
        assert found.verdict["auc"]["tuned"]["value"] == 1, "the parrot knows these rows and no others"


def small(entry: Entry, base: Path) -> dict[str, Any]:
    """Values that make a mitigation cheap, whatever it calls them."""
    cheap = {"steps": 2, "epochs": 1, "base": str(base)}
    return {p.name: cheap[last] for p in entry.parameters if (last := p.name.rpartition(".")[2]) in cheap}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model on disk."""
    folder, target = tmp_path_factory.mktemp("base"), opened(1)
    target.module.save_pretrained(folder)  # pyright: ignore
    target.tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("entry", MITIGATIONS, ids=lambda e: e.name)
def test_a_mitigation_gives_another_target_and_leaves_the_given_one_alone(entry: Entry, base: Path):
    if entry.name == "dp_sgd":
        pytest.importorskip("opacus", reason="opacus is not installed: pip install 'remanence[dp]'")
    system = build(entry, small(entry, base))
    target = opened()
    before = {name: value.clone() for name, value in target.module.state_dict().items()}
    name, fingerprint = target.name, target.fingerprint
    groups: Any = ("forget", "retain", "retain", "retain")
    records = [
        Record(f"{i}-{r.id}", text=r.text, group="train" if system.trains_from_base else groups[i % 4],
               meta={"task": "qa" if i % 2 else "summarization"})
        for i, r in enumerate((*KNOWN, *KNOWN))
    ]  # fmt: skip
    records += [Record(f"new-{r.id}", text=r.text, group="heldout") for r in NEW]
    changed = system(target, records)
    assert changed is not target and changed.fingerprint != fingerprint and changed.name != name
    assert (target.name, target.fingerprint) == (name, fingerprint)
    assert all(torch.equal(value, before[n]) for n, value in target.module.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in target.module.modules()), "no hook is left"
    same = all(torch.equal(v, before[n]) for n, v in changed.module.state_dict().items() if n in before)
    assert system.changes_weights or same, "it says that weights stay as they are"
    assert all(torch.isfinite(v).all() for v in changed.module.state_dict().values() if v.is_floating_point())


def test_every_system_is_of_the_module_and_class_that_the_catalogue_names():
    for entry in entries():
        cls = getattr(import_module(entry.module), entry.cls)
        assert cls is entry.load() and entry.verb in {base.__name__ for base in cls.__mro__}, entry.name
