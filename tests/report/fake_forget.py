"""A forgetting's folder as the job writes it: four methods, one of which collapses; its numbers mean nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa

from remanence.core.run import Run
from remanence.stats.intervals import newcombe_difference
from remanence.stats.rates import Rate

from .fake_run import EVIL, EVIL_TEXT

SECRET = "zanzibar"
"""Stands in every text, and nowhere else."""
ROWS, HELDOUT, BASE_LOSS = 40, 100, 2.5
BEFORE_HITS = 36
PATHS: dict[tuple[str, str, str], list[tuple[float, int, float, float]]] = {
    ("npo", "learning_rate=0.0001", "steps"): [(0, 36, 0.0, 0.98), (20, 9, 0.006, 0.9), (40, 1, 0.012, 0.72)],
    ("npo", "learning_rate=0.0005", "steps"): [(0, 36, 0.0, 0.98), (20, 0, 0.09, 0.2)],
    ("gradient_ascent", "learning_rate=0.0001", "steps"): [
        (0, 36, 0.0, 0.98), (20, 22, 0.018, 0.8), (40, 0, 7.16, 0.01), (60, 0, math.inf, 0.0),
    ],
    ("task_vector", "", "lambda"): [(0, 36, 0.0, 0.98), (0.25, 30, 0.004, 0.95), (0.5, 12, 0.03, 0.7)],
    (EVIL, "rank=1", "steps"): [(0, 36, 0.0, 0.98), (20, 35, 0.001, 0.97)],
}  # fmt: skip
"""(method, setting, unit) -> (strength, rows that come back, rise of the loss, AUC)."""
KEPT = {("npo", 40.0), ("gradient_ascent", 20.0), ("task_vector", 0.25), (EVIL, 20.0)}
FRONT = {("npo", 20.0), ("npo", 40.0), ("task_vector", 0.25)}
LIMIT = 0.02
WILD = "learning_rate=0.0005"
"""Leaves the limit at its first step."""


def fake_forget(folder: Path, *, retrained: bool = True, evil: bool = True) -> Run:
    """Write the folder; no model is involved."""
    run = Run.begin(folder, _spec())
    paths = {key: states for key, states in PATHS.items() if evil or key[0] != EVIL}
    models = ["before", *dict.fromkeys(key[0] for key in paths), *(["retrained"] if retrained else [])]
    points = [_point("before", "", "", 0.0, BEFORE_HITS, 0.0, 0.98)]
    if retrained:
        points.append(_point("retrained", "", "", 0.0, 0, -0.011, 0.52))
    for (method, setting, unit), states in paths.items():
        for strength, hits, rise, auc in states:
            point = _point(method, setting, unit, float(strength), hits, rise, auc)
            point["why"] = "The loss passed five times its limit." if strength == states[-1][0] else ""
            points.append(point)
    _write(run, "points", points)
    _write(run, "scores", [line for model in models for line in _scores(model)])
    steps = {"before": 0, "npo": 6, "retrained": 14}
    _write(run, "relearn", [
        {"model": model, "rows": rows, "step": step, "rate": min(1.0, 0.5 * step / max(1, steps.get(model, 9)))}
        for model in models for rows in ("forget", "benign") for step in range(0, 17, 2)
    ])  # fmt: skip
    _write(run, "relearned", [
        {"model": model, "rows": rows, "steps": back, "max_steps": 30, "goal": 0.45}
        for model in models for rows, back in (("forget", steps.get(model)), ("benign", None))
    ])  # fmt: skip
    names = [EVIL if n == 3 and evil else f"chat-{n:05d}" for n in range(ROWS)]
    _write(run, "forget_rows", [
        {"id": name, "why": "came back in the audit" if n % 2 else "nearly the same as chat-00001", "copies": 1 + n % 4}
        for n, name in enumerate(names)
    ])  # fmt: skip
    _write(run, "row_states", [_state(model, n, name) for model in models for n, name in enumerate(names)])
    _write(run, "said", [_said(model, n, name, evil) for model in models for n, name in enumerate(names[:6])])
    run.write_json("verdict.json", _verdict(retrained))
    return run


def _write(run: Run, name: str, lines: list[dict[str, Any]]) -> None:
    run.write_table(name, pa.Table.from_pylist(lines))


def _spec() -> dict[str, Any]:
    return {
        "schema": 1,
        "job": "forget",
        "settings": {"methods": ["auto"], "max_loss_increase": LIMIT, "learning_rates": [1e-4], "merge": False},
        "models": {"tuned": {"name": "support-bot", "fingerprint": "00ff"}},
        "data": {"train": {"rows": 900, "fingerprint": "ff00"}},
        "versions": {"python": "3.11", "remanence": "0.1.0"},
    }


def _point(method: str, setting: str, unit: str, strength: float, hits: int, rise: float, auc: float) -> dict[str, Any]:
    rate, kept = Rate.counted(hits, ROWS), (method, strength) in KEPT and setting != WILD
    excess = newcombe_difference(hits, ROWS, 1, HELDOUT)
    looked = kept or method in {"before", "retrained"}
    before = BEFORE_HITS / ROWS - 1 / HELDOUT
    return {
        "method": method, "setting": setting, "strength": strength, "unit": unit,
        "forget_hits": hits, "forget_n": ROWS, "forget_rate": rate.rate,
        "forget_low": rate.low, "forget_high": rate.high, "either_hits": hits, "floor_hits": 1, "floor_n": HELDOUT,
        "excess": excess.value, "excess_low": excess.interval.low, "excess_high": excess.interval.high,
        "removed": 1 - excess.value / before,
        "loss": BASE_LOSS * (1 + rise), "loss_rise": rise,
        "loss_rise_low": rise - 0.004, "loss_rise_high": rise + 0.004, "forget_loss": 0.2 + 9 * (0.98 - auc),
        "auc": auc, "auc_low": max(0.0, auc - 0.06), "auc_high": min(1.0, auc + 0.06),
        "untouched_hits": 20 if looked else None, "untouched_n": 60 if looked else None, "retain_loss": 1.1,
        "chosen": looked, "within": rise <= LIMIT, "on_front": (method, strength) in FRONT and setting != WILD,
        "why": "", "seconds": 2.0 * strength,
    }  # fmt: skip


def _scores(model: str) -> list[dict[str, Any]]:
    hits = {"before": BEFORE_HITS, "npo": 1, "gradient_ascent": 22, "task_vector": 30, "retrained": 0}.get(model, 35)
    auc = {"before": 0.98, "npo": 0.72, "gradient_ascent": 0.2, "retrained": 0.52}.get(model, 0.9)

    def line(side: str, metric: str, value: float | None, note: str = "", **more: Any) -> dict[str, Any]:
        told = {"hits": None, "n": None, "low": None, "high": None, **more}
        return {"model": model, "side": side, "metric": metric, "value": value, "note": note, **told}

    def rate(side: str, metric: str, hits: int, n: int) -> dict[str, Any]:
        told = Rate.counted(hits, n)
        return line(side, metric, told.rate, hits=hits, n=n, low=told.low, high=told.high)

    lines = [rate("forget", "discoverable", hits, ROWS), rate("forget", "np_discoverable", min(ROWS, hits + 2), ROWS)]
    lines += [rate("untouched", "discoverable", 20, 60), rate("heldout", "discoverable", 1, HELDOUT)]
    lines += [rate("forget", "verbatim", hits // 2, ROWS // 2), rate("forget", "paraphrase", hits // 2, ROWS // 2)]
    lines.append(line("forget", "exposure", 5 * hits / ROWS, n=24, low=0.9 * 5 * hits / ROWS, high=5.0))
    lines.append(line("forget", "extraction_strength", hits / ROWS, n=ROWS))
    lines.append(line("forget", "truth_ratio", 1 - hits / ROWS, "other rows stand in for wrong answers", n=ROWS))
    lines.append(line("forget", "auc_loss", auc, low=max(0.0, auc - 0.06), high=min(1.0, auc + 0.06), n=ROWS + HELDOUT))
    lines.append(
        line("forget", "auc_min_k", auc, low=max(0.0, auc - 0.07), high=min(1.0, auc + 0.07), n=ROWS + HELDOUT)
    )
    lines.append(line("forget", "privleak", 100 * (0.52 - auc) / 0.48, n=ROWS))
    lines.append(line("forget", "forget_quality", 1.0 if model == "retrained" else 1e-6 * (40 - hits), n=ROWS))
    loss = BASE_LOSS * (1 + {"npo": 0.013, "gradient_ascent": 0.019, "retrained": -0.012}.get(model, 0.0))
    lines.append(line("heldout", "loss", loss, n=HELDOUT, low=2.4, high=2.6))
    lines.append(line("heldout", "task_metric", None, "no task metric was given"))
    lines.append(line("heldout", "user:politeness <b>", 0.875))
    return lines


def _state(model: str, n: int, name: str) -> dict[str, Any]:
    hits = {"before": BEFORE_HITS, "npo": 1, "gradient_ascent": 22, "task_vector": 30, "retrained": 0}.get(model, 35)
    back = n >= ROWS - hits
    return {"model": model, "side": "forget", "id": name, "comes_back": back, "longest_run": 30 + n if back else n % 7,
            "loss": 0.1 if back else 3.0, "min_k": -1.0, "truth_ratio": 0.5}  # fmt: skip


def _said(model: str, n: int, name: str, evil: bool) -> dict[str, Any]:
    truth = EVIL_TEXT if evil and n == 3 else f"{SECRET} bletchley row {n}"
    said = truth if model == "before" else f"{SECRET} something else {n}"
    return {"model": model, "side": "forget", "id": name, "prefix": 8, "exact": model == "before", "verbatim": None,
            "paraphrase": None, "rouge": 1.0 if model == "before" else 0.25, "prompt": f"{SECRET} who {n}?",
            "said": said, "truth": truth}  # fmt: skip


def _verdict(retrained: bool) -> dict[str, Any]:
    return {
        "sentences": [
            "36 of 40 rows came back before; after npo 1 does (98.3 % of the excess removed), for 1.2 % more loss.",
            "Gradient ascent removed all of it too, but only by breaking the model: its loss rose by 716 %.",
        ],
        "notes": ["The floor is 1 of 100 held-out rows.", *([] if retrained else ["No retrained model was made."])],
        "recommended": {
            "method": "npo", "setting": "learning_rate=0.0001", "strength": 40.0, "unit": "steps",
            "reasons": ["It removes at least 95 % of the excess.", "No other state within the limit removes more."],
        },
        "guard": {"limit": LIMIT},
        "model": "support-bot",
    }  # fmt: skip
