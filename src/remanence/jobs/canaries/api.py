"""The Python controls of `remanence canaries`: make, plant, audit and remove."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from remanence.core.errors import RemanenceError
from remanence.core.keywords import takes_settings
from remanence.core.read import data_fingerprint, records_from
from remanence.core.run import refuse_taken
from remanence.core.target import Scores, Target
from remanence.engine.describe import data_name, versions
from remanence.engine.opening import open_targets
from remanence.jobs.canaries.audit import CanaryAudit, run_canary_audit
from remanence.jobs.canaries.generate import make
from remanence.jobs.canaries.key import Key, write_new
from remanence.jobs.canaries.plant import Planted, Removed, plant, remove
from remanence.jobs.canaries.settings import CanarySettings, MakeSettings
from remanence.report.html import write_report

__all__ = ["audit_canaries", "make_canaries", "plant_canaries", "remove_canaries"]


@takes_settings(MakeSettings)
def make_canaries(
    model: str | Path | Target,
    data: Any,
    *,
    out: str | Path = "canaries.json",
    trust_remote_code: bool = False,
    columns: dict[str, str] | None = None,
    show_progress: bool = True,
    **settings: Any,
) -> Key:
    """Make canaries and controls in the shape of the rows of `data`, and write them to `out`.

    `model`: the model before fine-tuning; it writes and scores them. `data` as for `remanence.audit`. The
    same model, data and seed give the same bytes. Raises `RemanenceError` on bad input.
    """
    chosen = MakeSettings(**settings)
    path = Path(out)
    if path.exists():
        raise RemanenceError(f"{path} exists and is not overwritten: name another --out.")
    named: dict[str, Any] = {f"{name}_column": column for name, column in (columns or {}).items()}
    records = records_from(data, **named)
    base, _ = open_targets(model, None, chosen, trust_remote_code)
    if not isinstance(base, Scores):
        raise RemanenceError(f"Canaries need a model that scores tokens; {base.name} only generates.")
    made = make(base, records, chosen, columns=columns, show=show_progress)
    told = {
        "settings": chosen.spec(),
        "model": {"name": base.name, "fingerprint": base.fingerprint},
        "data": {"name": data_name(data), "rows": len(records), "fingerprint": data_fingerprint(records)},
        "bands": [band._asdict() for band in made.bands],
        "candidates": made.drawn,
        "refused": dict(sorted(made.refused.items())),
        "versions": versions(),
    }
    named_columns = {name: column for name, column in (columns or {}).items() if column != name}
    key = Key(records[0].form, named_columns, told, made.canaries)
    write_new(path, key.text())
    return key


def plant_canaries(
    data: str | Path,
    canaries: str | Path | Key,
    *,
    copies: Sequence[int] = (1, 4, 16),
    out: str | Path,
    key: str | Path | None = None,
    seed: int = 0,
) -> Planted:
    """Plant canaries among the rows of a data file; writes `out` and its key (default: OUT's name with .key.json).

    Each canary stands there as often as a lot within its band decides, at places drawn with `seed`. Nothing is written
    over. Raises `RemanenceError` on bad input.
    """
    out = Path(out)
    made = canaries if isinstance(canaries, Key) else Key.read(canaries)
    return plant(Path(data), made, tuple(copies), out, key_beside(out) if key is None else Path(key), seed)


def remove_canaries(data: str | Path, key: str | Path | Key, *, out: str | Path) -> Removed:
    """Take planted canaries out of a data file again; the result says whether it is the very file from before."""
    return remove(Path(data), key if isinstance(key, Key) else Key.read(key), Path(out))


@takes_settings(CanarySettings)
def audit_canaries(
    model: str | Path | Target,
    key: str | Path | Key,
    *,
    base: str | Path | Target | None = None,
    out: str | Path = "remanence-canaries",
    resume: bool = False,
    reveal: bool = False,
    trust_remote_code: bool = False,
    show_progress: bool = True,
    **settings: Any,
) -> CanaryAudit:
    """How exposed are the planted canaries? Writes a run folder with `report.html`.

    `model`: the model trained on the planted data; `base`: the model before, for the floor.
    Raises `RemanenceError` on bad input.
    """
    chosen = CanarySettings(**settings)
    refuse_taken(out, resume=resume)
    known = key if isinstance(key, Key) else Key.read(key)
    tuned, below = open_targets(model, base, chosen, trust_remote_code)
    for target in (tuned, below):
        if target is not None and not isinstance(target, Scores):
            raise RemanenceError(f"Exposure needs a target that scores tokens; {target.name} only generates.")
    name = "the key" if isinstance(key, Key) else Path(key).name
    result = run_canary_audit(
        cast("Scores", tuned), cast("Scores | None", below), known, out, chosen, name=name,
        resume=resume, show=show_progress,
    )  # fmt: skip
    _ = write_report(result.run, reveal=reveal)
    return result


def key_beside(data: Path) -> Path:
    """`rows.jsonl` -> `rows.key.json`."""
    stem = data.name.removesuffix(".gz")
    return data.with_name(f"{Path(stem).stem}.key.json")
