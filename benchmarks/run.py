"""Runs the benchmarks and rewrites the tables of docs/benchmarks.md: `python benchmarks/run.py all`.

What was run replaces its part of the JSON; the rest stays. Takes half an hour for `all` on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import against_memaudit
import greedy
import table
from page import fill, machine, taken_on

DOCS = Path(__file__).parent.parent / "docs"
PARTS = {"table": table.run, "greedy": greedy.run, "memaudit": against_memaudit.run}


PACKAGES = ("torch", "transformers", "numba", "numpy")


def table_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        "| logits | bare pass | table, 12 schemes | ratio | ratio of CPU time | target |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name in ("random weights", "entropy of 3 nats"):
        f = found[name]
        lines.append(
            f"| {name} ({f['entropy']:.1f} nats) | {f['seconds'][0]:.2f} s | {f['seconds'][1]:.2f} s | "
            f"{f['ratio']:.2f} | {f['cpu_ratio']:.2f} | {verdict(f['ratio'] <= 1.3)} ≤ 1.3 |"
        )
    peak = found["peak_mb"]
    lines += ["", "| pass | peak memory | of the bare pass | target |", "|---|--:|--:|--:|"]
    names = {"start": "none: model and imports", "bare": "bare", "1": "table, 1 scheme", "12": "table, 12 schemes"}
    for what, name in {**names, "24": "table, 24 schemes"}.items():
        goal = f"{verdict(peak[what] <= 1.1 * peak['bare'])} ≤ 1.1" if what.isdigit() else ""
        lines.append(f"| {name} | {peak[what]:,.0f} MB | {peak[what] / peak['bare']:.2f} | {goal} |")
    return lines


def greedy_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        "| batch | table | `generate` | ratio | ratio of CPU time | verdicts | hits | identical | target |",
        "|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for name, f in found.items():
        if name.endswith(" rows"):
            goal = f"{verdict(f['ratio'] >= 15)} ≥ 15" if name == f"{greedy.ROWS[0]} rows" else ""
            lines.append(
                f"| {name} | {f['seconds'][0]:.2f} s | {f['seconds'][1]:.2f} s | {f['ratio']:.1f} | "
                f"{f['cpu_ratio']:.1f} | {f['verdicts']} | {f['hits']} | {'yes' if f['identical'] else 'NO'} | {goal} |"
            )
    return lines


def memaudit_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        "| model: rows | rows | tokens | scored | remanence, per row | memaudit, per row | ratio | ratio of CPU time | "
        "largest difference | target |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, f in found.items():
        if name == "machine":
            continue
        ours, theirs = (1000 * s / f["rows"] for s in f["seconds"])
        lines.append(
            f"| {name} | {f['rows']} | {f['tokens']:,} | {f['scored']:,} | {ours:.1f} ms | {theirs:.1f} ms | "
            f"{f['ratio']:.1f} | {f['cpu_ratio']:.1f} | {f['largest_difference']:.0e} | "
            f"{verdict(f['ratio'] >= 5)} ≥ 5 |"
        )
    return lines


def verdict(met: bool) -> str:
    return "met:" if met else "**missed:**"


def write_page(found: dict[str, Any], page: Path) -> None:
    """Replace what stands between the marks of each part."""
    parts = (("table", table_lines), ("greedy", greedy_lines), ("memaudit", memaudit_lines))
    fill(page, {name: [*lines(found[name]), "", taken_on(found[name])] for name, lines in parts if name in found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=[*PARTS, "all", "page"], help="page = only rewrite the tables from the JSON")
    parser.add_argument("--out", type=Path, default=DOCS / "benchmarks.json")
    parser.add_argument("--pairs", type=int, help="how often each side runs; default 7, 3 and 5")
    options = parser.parse_args()
    found = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name, run in PARTS.items():
        if options.part in (name, "all"):
            where = machine(*PACKAGES)
            found[name] = {**(run(options.pairs) if options.pairs else run()), "machine": where}
            options.out.write_text(json.dumps(found, indent=1) + "\n")
    write_page(found, DOCS / "benchmarks.md")


if __name__ == "__main__":
    main()
