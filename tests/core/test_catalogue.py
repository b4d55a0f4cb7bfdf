"""The catalogue is the file tree, read without importing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from remanence.core.catalogue import NOTHING, VERBS, entries, find
from remanence.core.errors import RemanenceError

SYSTEM = '''"""Echo: does it say it twice?

Paper: Nobody 2020, "On Echoes"

Useful in mountains.
"""

from remanence.core.verbs import TableMeasure

class Helper:
    """Not a system."""

class Echo(TableMeasure):
    """Counts."""
'''


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_header_and_class_is_a_system(tmp_path: Path):
    put(tmp_path, "measure/likelihood/echo.py", SYSTEM)
    (entry,) = entries(tmp_path)
    assert (entry.name, entry.verb, entry.wing, entry.cls) == ("echo", "Measure", "measure/likelihood", "Echo")
    assert (entry.title, entry.caption, entry.paper) == ("Echo", "does it say it twice?", 'Nobody 2020, "On Echoes"')
    assert entry.needs == "Scores"


def test_a_file_without_paper_or_class_is_a_helper(tmp_path: Path):
    put(tmp_path, "measure/a.py", SYSTEM.replace("Paper:", "See"))
    put(tmp_path, "measure/b.py", SYSTEM.replace("(TableMeasure)", ""))
    assert entries(tmp_path) == []


def test_the_base_class_says_the_verb_and_not_the_folder(tmp_path: Path):
    put(tmp_path, "explain/echo.py", SYSTEM.replace("TableMeasure", "Attack"))
    put(tmp_path, "anywhere/deep/echo.py", SYSTEM.replace("TableMeasure", "Theory"))
    assert [(e.wing, e.verb) for e in entries(tmp_path)] == [("explain", "Attack"), ("anywhere/deep", "Theory")]


def test_base_classes_are_followed_through_imports(tmp_path: Path):
    put(tmp_path, "mitigate/steps.py", STEPS)
    put(tmp_path, "mitigate/__init__.py", "from remanence.mitigate.steps import Steps as Walk\n")
    put(tmp_path, "mitigate/near.py", CHILD.replace("WHERE", ".steps import Steps"))
    put(tmp_path, "mitigate/far.py", CHILD.replace("WHERE", "remanence.mitigate import Walk as Steps"))
    put(tmp_path, "mitigate/other.py", CHILD.replace("WHERE", "elsewhere import Steps"))
    near, far = sorted(entries(tmp_path), key=lambda e: e.name, reverse=True)
    for entry in (near, far):
        assert (entry.verb, entry.needs, entry.cost) == ("Mitigation", "Opens", "1 training")
        assert [(p.name, p.type, p.default, p.text) for p in entry.parameters] == [
            ("rate", "float", "0.5", "How fast."),
            ("kind", "Literal['a', 'b'] | None", "None", "Which."),
            ("own", "int", "7", "Its own."),
        ]


STEPS = """
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from remanence.core.verbs import Mitigation
RATE = 0.25
Kind = Literal["a", "b"]
@dataclass(frozen=True)
class Steps(Mitigation):
    rate: float = RATE
    '''How fast.'''
    kind: Kind | None = field(default=None, repr=False)
    '''Which.'''
    unit: ClassVar[str] = "steps"
    def __call__(self, target: Opens, records): ...
"""
CHILD = (
    SYSTEM.split("from remanence")[0]
    + """
from dataclasses import dataclass
from WHERE
@dataclass(frozen=True)
class Child(Steps):
    rate: float = 0.5
    own: int = 7
    '''Its own.'''
"""
)


def test_of_several_classes_the_one_of_the_files_name_is_the_system(tmp_path: Path):
    put(tmp_path, "attack/echo.py", SYSTEM + "class Later(Echo):\n    pass\n")
    put(tmp_path, "attack/other.py", SYSTEM + "class Later(Echo):\n    pass\n")
    assert [e.cls for e in entries(tmp_path)] == ["Echo", "Later"]


def test_what_a_target_needs_is_read_from_the_first_argument(tmp_path: Path):
    call = "class Ask({}):\n    def __call__(self, {}): ...\n"
    head = SYSTEM.split("class Helper")[0] + "from remanence.core.verbs import Attack, Experiment\n"
    put(tmp_path, "attack/a.py", head + call.format("Attack", "target: Generates, records"))
    put(tmp_path, "attack/b.py", head + call.format("Experiment", "seed: int"))
    put(tmp_path, "attack/c.py", head + call.format("Nothing", "target: Generates"))
    found = entries(tmp_path)
    assert {e.name: e.needs for e in found} == {"a": "Generates", "b": NOTHING}
    assert [e.abilities for e in found] == [("Generates",), ()]


def test_a_field_that_is_a_dataclass_is_listed_by_its_fields(tmp_path: Path):
    settings = """
from dataclasses import dataclass
@dataclass(frozen=True)
class Training:
    rate: float = option(0.5, least=0)
    '''How fast.'''
    epochs: int = 3
"""
    put(tmp_path, "training/settings.py", settings)
    own = """
from dataclasses import dataclass
from remanence.training.settings import Training
@dataclass(frozen=True)
class Echo(TableMeasure):
    training: Training = Training(epochs=9)
"""
    put(tmp_path, "mitigate/echo.py", SYSTEM.split("class Helper")[0] + own)
    found = [(p.name, p.type, p.default, p.text) for p in entries(tmp_path)[0].parameters]
    assert found == [("training.rate", "float", "0.5", "How fast."), ("training.epochs", "int", "9", "")]


def test_what_it_says_of_itself_is_read_from_the_file(tmp_path: Path):
    put(tmp_path, "measure/echo.py", SYSTEM)
    (entry,) = entries(tmp_path)
    assert entry.about == "Useful in mountains." and entry.purpose == "Counts."
    assert entry.cost == "1 forward pass per row" and entry.module == "remanence.measure.echo"


def test_a_name_finds_its_system_and_a_wrong_one_the_nearest(tmp_path: Path):
    put(tmp_path, "measure/min_echo.py", SYSTEM)
    put(tmp_path, "replications/min_echo.py", SYSTEM.replace("TableMeasure", "Experiment"))
    assert find("min-echo", root=tmp_path).verb == "Measure", "an experiment of the same name comes last"
    assert find("min_echo", ["Experiment"], tmp_path).verb == "Experiment"
    with pytest.raises(RemanenceError, match="called 'minecho': did you mean min_echo"):
        find("minecho", root=tmp_path)
    with pytest.raises(RemanenceError, match="`remanence list` shows them all"):
        find("*", root=tmp_path)


def test_a_measure_that_compares_says_so(tmp_path: Path):
    put(tmp_path, "measure/echo.py", SYSTEM + '    needs_base = ("logprob",)\n')
    assert entries(tmp_path)[0].needs == "Scores, and a base model"


def test_nothing_is_imported(tmp_path: Path):
    put(
        tmp_path,
        "measure/echo.py",
        SYSTEM.replace("from remanence", "import nowhere_to_be_found\nfrom remanence"),
    )
    put(tmp_path, "measure/loud.py", SYSTEM + "\nraise SystemExit\n")
    assert {e.name for e in entries(tmp_path)} == {"echo", "loud"}


def test_our_own_systems_are_there_with_whole_headers():
    found = {e.name: e for e in entries()}
    assert {
        "loss", "zlib_ratio", "min_k", "min_k_plus_plus", "reference",
        "discoverable", "np_discoverable", "extraction_strength", "prefix",
    } <= set(found)  # fmt: skip
    assert len({(e.verb, e.name) for e in entries()}) == len(entries()), "two systems of one verb and name"
    for entry in found.values():
        assert entry.caption and entry.paper and entry.verb in VERBS
    assert found["reference"].needs == "Scores, and a base model" and found["prefix"].needs == "Generates"
