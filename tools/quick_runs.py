"""Runs experiments at their quick size, seed 0, and stores the figures that the tests read.

    python tools/quick_runs.py              those whose code has changed since they were stored
    python tools/quick_runs.py NAME ...     these
    python tools/quick_runs.py --check      run nothing; list those whose code has changed, and exit with 1
    python tools/quick_runs.py --all        all of them

The code of an experiment is its file and all that it imports; comments and docstrings do not count.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from remanence.replications.frame.code import code_hash
from remanence.replications.frame.figure import to_json
from remanence.replications.frame.run import as_text, experiment_names, find_experiment

QUICK = Path(__file__).resolve().parents[1] / "tests" / "replications" / "quick"


def main() -> int:
    """0 when all is well."""
    parser = argparse.ArgumentParser(description="Store quick runs of experiments for the tests.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true", help="run nothing; exit with 1 when some code has changed")
    parser.add_argument("--all", action="store_true", help="run all of them")
    asked = parser.parse_args()
    wanted = asked.names or [name for name in experiment_names() if asked.all or changed(name)]
    if asked.check:
        print("\n".join(wanted), end="\n" if wanted else "")
        return 1 if wanted else 0
    with tempfile.TemporaryDirectory() as cache:
        os.environ["REMANENCE_CACHE"] = cache  # substrates of other code are of no use
        for name in wanted:
            print(name, file=sys.stderr, flush=True)
            store(name)
    return 0


def changed(name: str) -> bool:
    """Whether the code is not the one that the stored figures come from."""
    path = QUICK / f"{name}.json"
    if not path.is_file():
        return True
    return json.loads(path.read_text(encoding="utf-8"))["code"] != code_hash(find_experiment(name).__module__)


def store(name: str) -> None:
    """Run one, and write its figures and the hash of its code."""
    kind = find_experiment(name)
    verdict = kind.at("quick")(0)
    stored = {"code": code_hash(kind.__module__), "figures": to_json([verdict.figures["figures"]])}
    QUICK.mkdir(exist_ok=True)
    (QUICK / f"{name}.json").write_text(as_text(stored), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
