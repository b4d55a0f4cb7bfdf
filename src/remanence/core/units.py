"""Numbers with units, formatted for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A duration with two significant digits: 0.3 s, 49 s, 8 min, 2.5 h. ValueError for a negative one or NaN."""
    if not seconds >= 0:
        raise ValueError(f"a duration is at least 0 seconds, got {seconds}")
    if seconds < 0.95:
        return f"{seconds:.1g} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 99.5:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    return f"{hours:.1f} h" if hours < 9.95 else f"{hours:.0f} h"
