"""Which versions of what made a run."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("remanence", "torch", "transformers", "peft", "numpy", "pyarrow", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that figures depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
