"""remanence: what a fine-tuned language model kept of its training rows, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remanence.core.record import Record as Record
    from remanence.core.scheme import SamplingScheme as SamplingScheme
    from remanence.jobs.api import audit as audit
    from remanence.jobs.api import compare as compare
    from remanence.jobs.api import finetune as finetune
    from remanence.jobs.api import forget as forget
    from remanence.jobs.api import match as match
    from remanence.jobs.api import score as score
    from remanence.jobs.api import study as study
    from remanence.jobs.canaries.api import audit_canaries as audit_canaries
    from remanence.jobs.canaries.api import make_canaries as make_canaries
    from remanence.jobs.canaries.api import plant_canaries as plant_canaries
    from remanence.jobs.canaries.api import remove_canaries as remove_canaries
    from remanence.jobs.preflight.preflight import preflight as preflight
    from remanence.jobs.run_schema import run_schema as run_schema
    from remanence.jobs.study.arm import Arm as Arm
    from remanence.jobs.systems.run import run as run
    from remanence.jobs.systems.settings import RunSettings as RunSettings
    from remanence.jobs.trainer.callback import AuditCallback as AuditCallback
    from remanence.measure.plagiarism.detector import PlagiarismIndex as PlagiarismIndex
    from remanence.measure.plagiarism.null_calibration import NullCalibration as NullCalibration
    from remanence.measure.plagiarism.types import GeneratedText as GeneratedText
    from remanence.report.html import write_report as write_report
    from remanence.report.junit import write_junit as write_junit
    from remanence.report.summary import append_summary as append_summary

_PLACES = {
    "audit": "remanence.jobs.api",
    "match": "remanence.jobs.api",
    "score": "remanence.jobs.api",
    "run": "remanence.jobs.systems.run",
    "RunSettings": "remanence.jobs.systems.settings",
    "study": "remanence.jobs.api",
    "Arm": "remanence.jobs.study.arm",
    "AuditCallback": "remanence.jobs.trainer.callback",
    "PlagiarismIndex": "remanence.measure.plagiarism.detector",
    "NullCalibration": "remanence.measure.plagiarism.null_calibration",
    "GeneratedText": "remanence.measure.plagiarism.types",
    "compare": "remanence.jobs.api",
    "finetune": "remanence.jobs.api",
    "forget": "remanence.jobs.api",
    "preflight": "remanence.jobs.preflight.preflight",
    "audit_canaries": "remanence.jobs.canaries.api",
    "make_canaries": "remanence.jobs.canaries.api",
    "plant_canaries": "remanence.jobs.canaries.api",
    "remove_canaries": "remanence.jobs.canaries.api",
    "write_report": "remanence.report.html",
    "append_summary": "remanence.report.summary",
    "write_junit": "remanence.report.junit",
    "run_schema": "remanence.jobs.run_schema",
    "Record": "remanence.core.record",
    "SamplingScheme": "remanence.core.scheme",
}


_RENAMED = {"Chance": "NullCalibration", "Said": "GeneratedText"}
"""Deprecated name -> new name; the deprecated names are removed in the next version."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import remanence` does not import torch."""
    if name in _RENAMED:
        import warnings

        new = _RENAMED[name]
        warnings.warn(f"remanence.{name} is now remanence.{new}", DeprecationWarning, stacklevel=2)
        name = new
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'remanence' has no attribute {name!r}")
