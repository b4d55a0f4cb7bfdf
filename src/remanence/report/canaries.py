"""What the report knows of an audit of canaries, and how it says it: exposure, membership and secrets by repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from remanence.core.run import Run
from remanence.report.words import Line, number, percent, span

UNFINISHED = "This audit of canaries has no verdict: it was not finished; add --resume."
SIDES = {("tuned", "loss"): "tuned", ("base", "loss"): "base", ("tuned", "reference"): "t1"}
"""(target, measure) to the colour of the page."""
NAMES = {("tuned", "loss"): "Fine-tuned model", ("base", "loss"): "Base model, the same rows",
         ("tuned", "reference"): "Fine-tuned against base"}  # fmt: skip


class Told(NamedTuple):
    """A figure as the page says it, with what stands under it."""

    rate: str
    interval: str = ""
    n: str = ""


@dataclass(frozen=True)
class Canaries:
    """An audit of canaries, read once."""

    run: Run
    spec: dict[str, Any]
    verdict: dict[str, Any]
    summary: list[Line] = field(repr=False)
    exposures: list[Line] = field(repr=False)

    @classmethod
    def read(cls, run: Run) -> Canaries:
        """Read what is there; tables that are not there yet are empty."""

        def lines(name: str) -> list[Line]:
            return list(run.lines(name)) if run.has(f"{name}.parquet") else []

        verdict = run.read_json("verdict.json") if run.has("verdict.json") else {}
        return cls(run, run.spec, verdict, lines("summary"), lines("exposures"))

    @property
    def sentences(self) -> list[str]:
        """The verdict, or that there is none."""
        return self.verdict.get("sentences") or [UNFINISHED]

    @property
    def bands(self) -> list[str]:
        """Names of the bands, `all` first where there are several."""
        return list(dict.fromkeys(line["band"] for line in self.summary))

    def of(self, target: str, measure: str = "loss", band: str | None = None) -> list[Line]:
        """Lines of the summary by copies, controls first; `band` None = all together."""
        wanted = band or (self.bands[0] if self.bands else "")
        return [r for r in self.summary if (r["target"], r["measure"], r["band"]) == (target, measure, wanted)]


def planted(copies: int) -> str:
    """What a number of copies is called."""
    return "never planted" if not copies else "once" if copies == 1 else f"{copies:,} times"


def bits(value: Any) -> str:
    """3.7, or a dash."""
    known = number(value)
    return "–" if known is None else f"{known:.1f}"


def exposure_told(line: Line | None, name: str = "exposure") -> Told | None:
    """Mean exposure with its interval."""
    if line is None or number(line[name]) is None:
        return None
    low, high = number(line[f"{name}_low"]), number(line[f"{name}_high"])
    n = line["n"] if name == "exposure" else line["counted_n"]
    return Told(bits(line[name]), "" if low is None else f"{bits(low)} to {bits(high)}", f"of {n:,}")


def auc_told(line: Line | None) -> Told | None:
    """AUC against the controls with its interval."""
    if line is None or number(line["auc"]) is None:
        return None
    return Told(f"{line['auc']:.2f}", f"{line['auc_low']:.2f} to {line['auc_high']:.2f}")


def back_told(line: Line | None) -> Told | None:
    """Secrets that are extracted, with count and interval."""
    if line is None or not line["back_n"]:
        return None
    ends = span(line["back_low"], line["back_high"])
    return Told(percent(line["back_rate"]), ends, f"{line['back_hits']:,} of {line['back_n']:,}")


def table(canaries: Canaries, band: str | None = None) -> list[dict[str, Any]]:
    """One row per number of copies: the tuned model beside the base."""
    base = {line["copies"]: line for line in canaries.of("base", "loss", band)}
    reference = {line["copies"]: line for line in canaries.of("tuned", "reference", band)}
    return [
        {
            "name": planted(line["copies"]).capitalize(),
            "n": line["n"],
            "exposure": exposure_told(line),
            "first": f"{line['first']} of {line['n']}" if line["copies"] and line["first"] is not None else "–",
            "fitted": bits(line["fitted"]) if line["copies"] else "–",
            "counted": exposure_told(line, "counted"),
            "base": exposure_told(base.get(line["copies"])),
            "auc": auc_told(line),
            "against": auc_told(reference.get(line["copies"])),
            "back": back_told(line),
            "base_back": back_told(base.get(line["copies"])),
        }
        for line in canaries.of("tuned", "loss", band)
    ]


def each(canaries: Canaries, secrets: dict[str, str]) -> list[dict[str, Any]]:
    """Every canary, most exposed first; its secret only where it may be shown."""
    tuned = [r for r in canaries.exposures if (r["target"], r["measure"], r["kind"]) == ("tuned", "loss", "canary")]
    base = {r["id"]: r for r in canaries.exposures if (r["target"], r["measure"]) == ("base", "loss")}
    ranked = sorted(tuned, key=lambda r: (-(number(r["fitted"]) or -1.0), r["id"]))
    return [
        {
            "id": r["id"], "band": r["band"], "copies": r["copies"], "exposure": bits(r["exposure"]),
            "rank": "–" if r["rank"] is None else f"{r['rank']:g} of {r['candidates']:,}",
            "fitted": bits(r["fitted"]), "counted": bits(r["counted"]),
            "base": bits(base[r["id"]]["exposure"]) if r["id"] in base else "–",
            "back": "–" if r["secret_back"] is None else "yes" if r["secret_back"] else "no",
            "secret": secrets.get(r["id"]), "reason": r["reason"] or "",
        }
        for r in ranked
    ]  # fmt: skip


def any_counted(lines: Sequence[dict[str, Any]]) -> bool:
    """Whether secrets were counted through."""
    return any(line["counted"] not in (None, "–") for line in lines)
