"""The measures of an audit: those of the verdict, and the likelihood measures that a user chose."""

from __future__ import annotations

from collections.abc import Sequence

from remanence.core.catalogue import entries
from remanence.core.scheme import SamplingScheme
from remanence.core.verbs import TableMeasure, columns_for
from remanence.jobs.audit.settings import AuditSettings
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.extraction_strength import ExtractionStrength
from remanence.measure.extraction.np_discoverable import NPDiscoverable


def table_measure(name: str) -> TableMeasure:
    """A measure of the token table by its name in the catalogue, with its defaults."""
    (entry,) = (entry for entry in entries(name=name) if "TableMeasure" in entry.bases)
    return entry.load()()


def discoverable(settings: AuditSettings) -> Discoverable:
    """The measure behind the verdict."""
    return Discoverable(settings.prefixes, settings.new_tokens)


def table_measures(settings: AuditSettings, with_base: bool) -> list[TableMeasure]:
    """Discoverable extraction, extraction strength, a measure per sampling scheme, then the chosen ones."""
    sampled = [
        NPDiscoverable(SamplingScheme.parse(s), settings.p, settings.prefixes, settings.new_tokens)
        for s in settings.schemes
    ]
    chosen = [table_measure(name) for name in settings.measures]
    return [
        discoverable(settings),
        ExtractionStrength(),
        *sampled,
        *(measure for measure in chosen if with_base or not measure.needs_base),
    ]


def table_columns(measures: Sequence[TableMeasure]) -> list[str]:
    """The columns of the token table that the measures need; `logprob` is always one of them."""
    return sorted({*columns_for(measures), "logprob"})
