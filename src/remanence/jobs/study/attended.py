"""Does the spread of attention say which rows come back, within a task, and beyond what is known without it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remanence.core.run import Run
from remanence.jobs.study.arm import Arm
from remanence.jobs.study.settings import StudySettings


def attention_verdict(run: Run, arms: Sequence[Arm], settings: StudySettings) -> dict[str, Any] | None:
    """Filled in when `explain/attention` and `stats/within` are there."""
    return None
