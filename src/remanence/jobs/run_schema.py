"""What `run.json` holds, as a JSON Schema: made from the settings themselves, so that it cannot fall behind them.

Published as docs/run.schema.json; the tests hold every run.json that they make against it.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from remanence.core.catalogue import VERBS
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.audit.stream_settings import StreamSettings
from remanence.jobs.canaries.settings import CanarySettings
from remanence.jobs.forget.rows import HeldoutKind
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.match.settings import MatchSettings
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.settings import StudySettings
from remanence.jobs.systems.settings import RunSettings
from remanence.training.settings import FinetuneSettings

Schema = dict[str, Any]

PLAIN: Mapping[Any, Schema] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
}
VERSIONS = {"audit": 2, "match": 2, "forget": 2, "study": 2, "canaries": 2, "run": 1}
"""Schema version of each job. Version 1 has the settings under the names that the fields still list as deprecated
(`old=` in the settings dataclasses): its runs can be reported, scored again and compared, but not resumed."""
TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
FINGERPRINT: Schema = {"type": "string", "pattern": "^[0-9a-f]{16}$", "description": "64 bits of SHA-256"}
CORPUS: Schema = {"description": "128 bits of a hash of the texts"}


def run_schema() -> Schema:
    """JSON Schema (draft 2020-12) of `run.json`, one alternative for each kind of job."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "run.json of a remanence run",
        "description": "What was asked: settings, seed, data, models and versions; no paths and no training text.",
        "oneOf": [_audit(), _match(), _forget(), _study(), _canaries(), _run()],
    }


def _audit() -> Schema:
    rows = _data(name=TEXT, rendered=FINGERPRINT | {"description": "of the token ids that the model reads"})
    told = _job(
        "audit",
        settings=_settings(AuditSettings),
        seed=COUNT,
        data=_object(train=rows, heldout=_or_null(rows)),
        models=_object(tuned=_model(), base=_or_null(_model())),
        tokenization=TEXT,
    )
    told["properties"]["stream"] = _settings(StreamSettings) | {"description": "of a streamed audit"}
    return told


def _match() -> Schema:
    named = _data(name=TEXT)
    corpus = _object(
        name=TEXT, rows=COUNT, ids=FINGERPRINT, fingerprint=FINGERPRINT | {"pattern": "^[0-9a-f]{32}$"} | CORPUS
    )
    return _job(
        "match",
        settings=_settings(MatchSettings),
        seed=COUNT,
        data=_object(generated=_data(name=TEXT, asked=_or_null(FINGERPRINT)), train=corpus, heldout=_or_null(named)),
        models=_object(base=_or_null(_object(name=TEXT, fingerprint=FINGERPRINT))),
        tokenization=TEXT,
    )


def _forget() -> Schema:
    model = _object(name=TEXT, fingerprint=FINGERPRINT, family={"enum": ["causal", "seq2seq"]})
    sides = {side: _data() for side in ("forget", "retain", "untouched", "guide", "judge")}
    return _job(
        "forget",
        settings=_settings(ForgetSettings),
        seed=COUNT,
        paths={"type": "array", "items": _object(method=TEXT, setting={"type": "string"})},
        retrained={"type": "boolean"},
        recipe=_or_null(_settings(FinetuneSettings)),
        data=_object(train=_data(name=TEXT), **sides, heldout_is=_kind(HeldoutKind)),
        models=_object(tuned=model, base=_or_null(model)),
    )


def _study() -> Schema:
    model = _object(name=TEXT, fingerprint=FINGERPRINT)
    return _job(
        "study",
        settings=_settings(StudySettings),
        models={"type": "object", "additionalProperties": model},
        data={"type": "object", "additionalProperties": _data()},
        arms={"type": "array", "minItems": 1, "items": _settings(Arm)},
    )


def _canaries() -> Schema:
    told = {"content": {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the content"}}
    rows = _object(rows=COUNT, rendered=FINGERPRINT)
    file = _object(name=TEXT, rows=COUNT, **told)
    copies: Schema = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1}}
    band = _object(name=TEXT, low={"type": "number"}, high={"type": "number"})
    return _job(
        "canaries",
        settings=_settings(CanarySettings),
        seed=COUNT,
        key=_object(name=TEXT, fingerprint=FINGERPRINT),
        data=_object(canary=rows, twin=rows),
        planted=_object(copies=copies, seed=COUNT, data=file, written=file),
        bands={"type": "array", "minItems": 1, "items": band},
        models=_object(tuned=_model(), base=_or_null(_model())),
    )


def _run() -> Schema:
    rows = _data(name=TEXT)
    parameters: Schema = {"type": "object", "description": "fields of the system's dataclass"}
    return _job(
        "run",
        system=_object(name=TEXT, verb={"enum": list(VERBS)}, title=TEXT, parameters=parameters),
        settings=_settings(RunSettings),
        seed=COUNT,
        data=_or_null(_object(train=rows, heldout=_or_null(rows), forget=_or_null(_data()))),
        models=_object(tuned=_or_null(_model()), base=_or_null(_model())),
    )


def _job(name: str, **parts: Schema) -> Schema:
    versions: Schema = {"type": "object", "required": ["python", "remanence"], "additionalProperties": TEXT}
    version: Schema = {"const": VERSIONS[name]}
    return _object(schema=version, job={"const": name}, **parts, versions=versions) | {"title": name}


def _data(**more: Schema) -> Schema:
    return _object(rows=COUNT, fingerprint=FINGERPRINT, **more)


def _model() -> Schema:
    told = _object(name=TEXT, fingerprint=TEXT)
    told["properties"] |= {"family": TEXT, "num_parameters": COUNT, "vocabulary": COUNT}
    told["properties"] |= {"host": TEXT, "cut": TEXT, "gives": {"type": "array", "items": TEXT}}
    return told


def _object(**properties: Schema) -> Schema:
    """Exactly these properties, all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _settings(kind: type) -> Schema:
    """The fields of a settings dataclass as they stand in JSON, where a tuple is an array."""
    hints = get_type_hints(kind)
    return _object(**{field.name: _kind(hints[field.name]) for field in fields(kind)})


def _kind(hint: Any) -> Schema:
    if hint in PLAIN:
        return dict(PLAIN[hint])
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(inside)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_kind(one) for one in inside]}
    if origin is tuple and inside[-1] is Ellipsis:
        return {"type": "array", "items": _kind(inside[0])}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_kind(one) for one in inside], "minItems": len(inside), "items": False}
    raise TypeError(f"no JSON Schema for a setting of type {hint}")


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}
