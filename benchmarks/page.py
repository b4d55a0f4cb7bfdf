"""What every page of benchmarks has: the machine they were taken on, and tables that are rewritten between marks."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """What the figures are taken on, how busy it is, and the versions of these packages."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu[1] if cpu else "unknown",
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in packages},
    }


def taken_on(found: dict[str, Any]) -> str:
    """The line under a table."""
    m = found["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in m["versions"].items())
    return f"*{m['date']}, {m['cores']} cores of {m['cpu']}, load {m['load_before']} before the run; {versions}.*"


def fill(page: Path, sections: Mapping[str, Sequence[str]]) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->` for each section named."""
    text = page.read_text()
    for name, lines in sections.items():
        mark, body = f"<!-- {name} -->\n", "\n".join(lines)
        text = re.sub(f"{mark}.*?<!-- end -->", lambda _, b=body, m=mark: f"{m}\n{b}\n\n<!-- end -->", text, flags=re.S)
    page.write_text(text)
