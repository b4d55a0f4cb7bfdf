"""The report of a study: one HTML file that starts with the verdict; the pictures are in it and nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from remanence.core.run import Run
from remanence.report.page import asset
from remanence.report.study import Study
from remanence.report.study_curves import curves
from remanence.report.study_examples import examples
from remanence.report.study_maps import maps
from remanence.report.study_picture import picture
from remanence.report.study_sections import parts
from remanence.report.study_tables import attention, contrasts
from remanence.report.study_words import METHODS, WHO
from remanence.report.words import bound, plural


def study_page(run: Run, *, reveal: bool = False) -> str:
    """The whole page. Without `reveal` no training text and no answer is in it, only the length of their words."""
    study = Study.read(run)
    there = [kind for kind in study.kinds if any(study.cells(kind))]
    script = asset("study.js")
    assert "</script" not in script
    pages = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.get_template("study.html.j2").render(
        study=study,
        reveal=reveal,
        plural=plural,
        bound=bound,
        who=WHO,
        pictures=[picture(study, kind) for kind in there],
        blocks=[(kind, parts(study, kind), curves(study, kind)) for kind in there],
        contrasts=contrasts(study),
        attention=attention(study),
        maps=maps(study, reveal=reveal),
        examples=examples(study, reveal=reveal),
        methods=METHODS,
        settings=_settings(study),
        style=Markup(asset("report.css") + asset("rows.css") + asset("study.css")),
        script=Markup(script),
        hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _settings(study: Study) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was asked, as titled lists of names and values."""
    models = study.spec.get("models") or {}
    data = study.spec.get("data") or {}
    told = "{}, fingerprint {}"
    things = [(f"model, {name}", told.format(one.get("name"), one.get("fingerprint"))) for name, one in models.items()]
    things += [
        (f"task, {name}", told.format(f"{one['rows']:,} rows", one["fingerprint"])) for name, one in data.items()
    ]
    ways = [
        (
            kind.label,
            "; ".join(
                f"{v.epochs} epochs, rate {v.learning_rate:g}, batches of {v.batch_size}"
                + (f", LoRA rank {v.lora_rank}" if v.lora_rank else "")
                for v in study.variants(kind)
            ),
        )
        for kind in study.kinds
    ]
    seeds = sorted({arm["seed"] for arm in study.arms})
    return [
        ("Models and data", things),
        ("Training", [*ways, ("seeds", _value(seeds))]),
        ("Settings", [(key.replace("_", " "), _value(value)) for key, value in study.settings.items()]),
        ("Versions", [(name, _value(value)) for name, value in (study.spec.get("versions") or {}).items()]),
    ]


def _value(value: Any) -> str:
    if isinstance(value, list):
        nested = all(isinstance(v, list) for v in value)
        return ", ".join("\u00d7".join(map(str, v)) if nested else str(v) for v in value) or "none"
    if value is None or isinstance(value, bool):
        return {None: "not given", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)
