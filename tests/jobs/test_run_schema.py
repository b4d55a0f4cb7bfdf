"""The published schema of run.json is right, and strict enough to be of use."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.run_schema import run_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "run.schema.json"
CHECK = jsonschema.Draft202012Validator(run_schema())

GOOD: dict[str, Any] = {
    "schema": 2,
    "job": "audit",
    "settings": AuditSettings().spec(),
    "seed": 0,
    "data": {
        "train": {"name": "train.jsonl", "rows": 3, "fingerprint": "0" * 16, "rendered": "f" * 16},
        "heldout": None,
    },
    "models": {"tuned": {"name": "llama", "fingerprint": "00ff", "family": "causal", "vocabulary": 512}, "base": None},
    "tokenization": "words-1",
    "versions": {"python": "3.11.7", "remanence": "0.1.0"},
}


def test_it_is_a_schema_and_the_one_that_is_published() -> None:
    jsonschema.Draft202012Validator.check_schema(run_schema())
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == run_schema(), "run tools/reference.py"


def test_a_good_one_passes() -> None:
    CHECK.validate(GOOD)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema",), 1),
        (("job",), "unknown"),
        (("settings", "alpha"), "a hundredth"),
        (("settings", "prefixes"), [0, "eight"]),
        (("settings", "dtype"), "float8"),
        (("settings", "unheard_of"), 1),
        (("data", "train", "rows"), -1),
        (("data", "train", "fingerprint"), "short"),
        (("data", "train", "path"), "/home/me/train.jsonl"),
        (("models", "tuned"), None),
        (("versions",), {}),
    ],
)
def test_a_bad_one_does_not(place: tuple[str, ...], value: Any) -> None:
    bad = copy.deepcopy(GOOD)
    inner = bad
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert not CHECK.is_valid(bad)


@pytest.mark.parametrize("key", list(GOOD))
def test_nothing_may_lack(key: str) -> None:
    assert not CHECK.is_valid({k: v for k, v in GOOD.items() if k != key})
