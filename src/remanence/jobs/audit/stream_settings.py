"""Settings of a streamed audit: each field is an option of the command line and an entry of `run.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from remanence.core.keywords import from_json, to_json
from remanence.core.settings import check_settings, option


@dataclass(frozen=True)
class StreamSettings:
    """What a streamed audit holds in memory. All rows are measured and counted, whatever these values are."""

    ranked_rows: int = option(10_000, group="machine", least=1, old=("worst",))
    """Streaming: number of rows in the ranking and the report, most memorized first; the block tables hold all rows."""
    in_memory_rows: int = option(20_000, group="machine", least=0, old=("together",))
    """Streaming: maximum number of training rows for which near duplicates are counted and generated texts are matched
    against all training rows, since both hold every row in memory."""

    def __post_init__(self) -> None:
        check_settings(self)

    def spec(self) -> dict[str, Any]:
        """JSON-ready, for `run.json`."""
        return to_json(self)

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> StreamSettings:
        """The settings of an earlier run."""
        return from_json(cls, spec)
