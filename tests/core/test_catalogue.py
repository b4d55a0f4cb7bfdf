"""The catalogue is the file tree, read without importing it."""

from __future__ import annotations

from pathlib import Path

from remanence.core.catalogue import VERBS, entries

SYSTEM = '''"""Echo: does it say it twice?

Paper: Nobody 2020, "On Echoes"
"""

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
    put(tmp_path, "core/c.py", SYSTEM)  # not a wing
    assert entries(tmp_path) == []


def test_what_a_target_needs_is_read_from_the_first_argument(tmp_path: Path):
    call = "class Ask:\n    def __call__(self, {}): ...\n"
    for name, argument in (("a", "target: Generates, records"), ("b", "seed: int"), ("c", "text: str")):
        put(tmp_path, f"attack/{name}.py", SYSTEM.split("class Helper")[0] + call.format(argument))
    assert {e.name: e.needs for e in entries(tmp_path)} == {
        "a": "Generates",
        "b": "nothing: it makes its own model and data",
    }


def test_a_measure_that_compares_says_so(tmp_path: Path):
    put(tmp_path, "measure/echo.py", SYSTEM + '    needs_base = ("logprob",)\n')
    assert entries(tmp_path)[0].needs == "Scores, and a base model"


def test_nothing_is_imported(tmp_path: Path):
    put(
        tmp_path,
        "measure/echo.py",
        "import nowhere_to_be_found\n".join(SYSTEM.rsplit("\nclass Helper", 1)[:1])
        + SYSTEM[SYSTEM.index("\nclass Helper") :],
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
        assert entry.caption and entry.paper and entry.verb in VERBS.values()
    assert found["reference"].needs == "Scores, and a base model" and found["prefix"].needs == "Generates"
