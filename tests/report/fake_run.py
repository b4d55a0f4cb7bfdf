"""A run folder that looks like an audit's, made of dice: for tests of the report and for looking at its design."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import beta

from remanence.core import schema
from remanence.core.run import Run

EVIL = "<script>window.pwned=1</script>"
EVIL_TEXT = f"{EVIL} </script><img src=x onerror='window.pwned=2'> {{{{ 7*7 }}}} \u2028 {EVIL} &amp; done"

_NAMES = ["Marisol", "Okonkwo", "Thaddeus", "Brzezinski", "Ingrid", "Vasquez", "Leopold", "Haverford", "Montague"]
_PLACES = ["Ravenshoe", "Kilmarnock", "Oberstdorf", "Tallahassee", "Wollongong", "Aberystwyth"]
_ACTS = ["telephoned", "complained", "transferred", "rescheduled", "overpaid", "cancelled"]


def fake_run(
    folder: Path,
    *,
    num_rows: int = 300,
    num_heldout: int = 200,
    base: bool = True,
    heldout: bool = True,
    attempts: bool = True,
    evil: bool = True,
    detector: bool = True,
    tasks: bool = True,
    seed: int = 0,
) -> Run:
    """Write a plausible run. The fifth row of the ranking carries `EVIL` in its id and texts, if asked for.

    Without `detector` it is a run of before there was one: no `origins`, no `calibration`. Without `tasks` no column
    of the data was named.
    """
    dice = np.random.default_rng(seed)
    run = Run.begin(folder, _spec(num_rows, num_heldout, base, heldout, seed))
    copies = dice.choice([1, 1, 1, 1, 1, 2, 4, 8, 16], num_rows)
    logit = -4.2 + 0.9 * np.log2(copies) + dice.normal(0, 1, num_rows)
    back = logit > -1.2
    rank_of = np.lexsort((dice.random(num_rows), -logit, ~back))
    tokens = dice.integers(24, 300, num_rows)
    asked: list[dict[str, Any]] = []
    matches: list[dict[str, Any]] = []
    ranking: list[dict[str, Any]] = []
    for rank, row in enumerate(rank_of.tolist(), start=1):
        row_id = EVIL if evil and rank == 5 else f"chat-{row:05d}"
        attempt = base_attempt = None
        if attempts and (back[row] or rank <= num_rows // 4):
            text = EVIL_TEXT if evil and rank == 5 else _sentence(dice, 26)
            attempt = _attempt(asked, matches, "tuned", row, row_id, text, 1.0 if back[row] else 0.4, dice)
            if base:
                base_attempt = _attempt(asked, matches, "base", row, row_id, text, 0.08, dice)
        ranking.append({
            "rank": rank, "row": row, "id": row_id, "comes_back": bool(back[row]),
            "shortest_prefix": int(dice.choice([8, 16, 32])) if back[row] else None,
            "longest_run": int(dice.integers(20, 60)) if back[row] else int(dice.integers(0, 12)),
            "strength": round(float(1 / (1 + math.exp(-logit[row]))), 4),
            "log_p": round(float(-6 / (1 + math.exp(logit[row]))), 4),
            "queries": float(round(math.exp(-2 * logit[row]), 1)) if logit[row] > -6 else math.inf,
            "p_value": float(min(1, 1 / 201 + (0 if back[row] else dice.random()))) if heldout else None,
            "q_value": float(min(1, 0.02 + (0 if back[row] else dice.random()))) if heldout else None,
            "copies": int(copies[row]), "near": int(dice.poisson(0.4)), "num_supervised": int(tokens[row]),
            "attempt": attempt, "base_attempt": base_attempt,
        })  # fmt: skip
    run.write_table("ranking", pa.Table.from_pylist(ranking, schema.RANKING))
    if attempts and detector:
        from .fake_match import detected

        origins, calibration, found = detected(asked, matches)
        matches = sorted([*matches, *found], key=lambda line: line["attempt"])
        run.write_table("origins", pa.Table.from_pylist(origins, schema.ORIGINS))
        run.write_table("calibration", pa.Table.from_pylist(calibration, schema.CALIBRATION))
    if attempts:
        run.write_table("attempts", pa.Table.from_pylist(asked, schema.ATTEMPTS))
        run.write_table("matches", pa.Table.from_pylist(matches, schema.MATCHES))
    rates = _rates(back, copies, tokens, num_heldout if heldout else None, base)
    rates += _by_task(num_rows, num_heldout if heldout else None, base) if tasks else []
    run.write_table("rates", pa.Table.from_pylist(rates, schema.RATES))
    run.write_table("membership", pa.Table.from_pylist(_membership(num_rows, num_heldout, base, heldout), schema.MEMBERSHIP))  # fmt: skip  # noqa: E501
    said = _verdict(rates[0], base, heldout, int((back).sum()))
    run.write_json("verdict.json", said | {"columns": [_column(rates)] if tasks else []})
    return run


def training_texts(run: Run) -> list[str]:
    """Every piece of text in the run that must not show unless it is revealed."""
    return [line[key] for line in run.lines("attempts") for key in ("prompt", "answer", "expected")]


def _sentence(dice: np.random.Generator, num_words: int) -> str:
    pools = (_NAMES, _ACTS, _PLACES, ["about invoice", "regarding claim", "on the matter of"], ["4471-", "88-"])
    words = [str(dice.choice(pools[i % 5])) for i in range(num_words)]
    return " ".join(f"{w}{dice.integers(100, 999)}" if w.endswith("-") else w for w in words)


def _attempt(
    asked: list[dict[str, Any]],
    matches: list[dict[str, Any]],
    who: str,
    row: int,
    row_id: str,
    text: str,
    share: float,
    dice: np.random.Generator,
) -> int:
    """The first half of `text` is the prompt; of the rest, the answer gets the first `share` right."""
    half = len(text) // 2
    prompt, expected = text[:half], text[half:]
    right = expected[: round(share * len(expected))]
    answer = right if share == 1 else f"{right} well then {_sentence(dice, 6)}"
    number, exact = len(asked), share == 1
    asked.append({
        "target": who, "group": "train", "row": row, "id": row_id, "attack": "prefix", "prefix_tokens": 16,
        "new_tokens": 32, "scheme": "greedy", "seed": 0, "why": "table" if exact else "near", "prompt": prompt,
        "answer": answer, "expected": expected, "num_answer": 32, "shared_prefix": round(share * 32), "exact": exact,
        "recheck": "agrees" if exact else None,
    })  # fmt: skip
    where = {"attempt": number, "kind": "verbatim", "train_row": row, "train_id": row_id}
    own = {"whose": "own", "length": round(32 * share), "start_answer": 0, "start_record": 16, "char_start": 0}
    other = {"whose": "corpus", "length": 5, "start_answer": 24, "start_record": 3, "char_start": len(right) + 3}
    matches.append({**where, **own, "char_end": len(right), "in_prompt": False})
    copied = row % 3 == 0
    if not exact:
        matches.append(
            {
                **where,
                **other,
                "char_end": len(answer),
                "in_prompt": copied,
                "train_row": row + 1,
                "train_id": "chat-other",
            }
        )
    return number


def _rate(prefix: str, hits: int | None, n: int | None) -> dict[str, Any]:
    if hits is None or not n:
        none: dict[str, Any] = {f"{prefix}{what}": None for what in ("hits", "n", "rate", "low", "high")}
        return none if hits is None or n is None else none | {f"{prefix}hits": 0, f"{prefix}n": 0}
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, n - hits + 1))
    high = 1.0 if hits == n else float(beta.ppf(0.975, hits + 1, n - hits))
    return {f"{prefix}hits": hits, f"{prefix}n": n, f"{prefix}rate": hits / n, f"{prefix}low": low,
            f"{prefix}high": high}  # fmt: skip


def _line(
    metric: str, by: str, value: str, order: int, hits: int, n: int, held: int | None, base: bool, detail: str = ""
) -> dict[str, Any]:
    floor = _rate("floor_", None if held is None else hits // 40, held)
    below = _rate("base_", hits // 20 if base else None, n)
    here = _rate("", hits, n)
    line = {"metric": metric, "by": by, "value": value, "order": order, "detail": detail, **here, **floor, **below,
            **_rate("base_floor_", 0 if base and held else None, held), **_rate("ceiling_", n, n)}  # fmt: skip
    for name, other in (("excess", floor["floor_rate"]), ("over_base", below["base_rate"])):
        if n and other is not None:
            line |= {
                f"{name}{end}": here[what] - other for end, what in (("", "rate"), ("_low", "low"), ("_high", "high"))
            }
    return line


def _rates(back: Any, copies: Any, tokens: Any, held: int | None, base: bool) -> list[dict[str, Any]]:
    num, hits = len(back), int(back.sum())
    scheme = "T=1,k=40"
    lines = [
        _line("greedy", "all", "all", 0, hits, num, held, base),
        _line("span", "all", "all", 0, int(hits * 1.2), num, held, base),
    ]
    for order, prefix in enumerate((8, 16, 32, 64, 96)):
        some = round(hits * (0.35 + 0.16 * order))
        lines.append(_line("greedy", "prefix", str(prefix), order, some, num - 9 * order, held, base))
    for detail in (f"{scheme} at p=0.1", f"{scheme} at p=0.5", f"{scheme} at p=0.9"):
        for order, n in enumerate((1, 10, 100, 1000, 10000)):
            some = round(hits * (0.5 + 0.3 * order) * (1.2 - float(detail[-3:])))
            lines.append(_line("np", "n", str(n), order, some, num, held, base, detail))
    for by, values, edges in (
        ("length", tokens, [(1, 31), (32, 63), (64, 127), (128, 255), (256, 511)]),
        ("copies", copies, [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16)]),
    ):
        for order, (low, high) in enumerate(edges):
            here = (values >= low) & (values <= high)
            name = str(low) if low == high else f"{low}-{high}"
            kept = held // 5 if held and by == "length" else None
            lines.append(_line("greedy", by, name, order, int(back[here].sum()), int(here.sum()), kept, base))
    for order, near in enumerate(("0", "1", "2")):
        lines.append(_line("greedy", "near", near, order, (4 + 3 * order) * hits // 40, num // (order + 2), None, base))
    return lines


BUDGETS = (6, 10, 20, 50)
TASKS = {"dialogue": (0.5, 50), "qa": (0.2, 10), "sentiment": (0.1, 0), "summary": (0.6, 50)}
"""Task: (share of its rows that come back, most tokens that they have)."""


def _by_task(num: int, held: int | None, base: bool) -> list[dict[str, Any]]:
    """A quarter of the rows each; every row is long enough, or none is."""
    lines: list[dict[str, Any]] = []
    for order, (task, (share, longest)) in enumerate(TASKS.items()):
        for budget in BUDGETS:
            n = num // 4 if budget <= longest else 0
            kept = None if held is None else held // 4 if n else 0
            hits = round(share * n * 6 / budget)
            lines.append(_line("greedy", "column:task", task, order, hits, n, kept, base, f"budget={budget}"))
        seen = num // 5 if longest > 10 else 0
        kept = None if held is None else held // 5 if seen else 0
        detail = "paraphrase, alpha=0.01"
        lines.append(_line("match", "column:task", task, order, seen // 2, seen, kept, base, detail))
    return lines


def _column(rates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    here = [r for r in rates if r["by"] == "column:task" and r["detail"] == "budget=10"]
    return {
        "column": "task",
        "budget": 10,
        "rows": {r["value"]: 75 for r in here},
        "sentence": "At 10 generated tokens, 2 of the 3 differences between two values of task are more than chance.",
        "pairs": [
            {"a": "summary", "b": "qa", "value": 0.24, "low": 0.1, "high": 0.38, "apart": True},
            {"a": "dialogue", "b": "qa", "value": 0.18, "low": 0.04, "high": 0.32, "apart": True},
            {"a": "summary", "b": "dialogue", "value": 0.06, "low": -0.09, "high": 0.21, "apart": False},
        ],
        "detector": {"sentence": "In the share of answers that repeat training rows, none is.", "pairs": []},
    }


def _membership(members: int, nonmembers: int, base: bool, heldout: bool) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    counts = {"num_members": members, "num_nonmembers": nonmembers if heldout else 0}
    alone = ("loss", "zlib", "min_k", "min_k_plus_plus")
    targets = {"tuned": (*alone, "reference"), "base": alone}
    for target, measures in {**targets, "blind": ("bag of words",)}.items():
        if target == "base" and not base:
            continue
        for place, measure in enumerate(measures):
            auc = {"tuned": 0.71 + 0.04 * place, "base": 0.51 + 0.005 * place, "blind": 0.532}[target]
            for fpr in (0.1, 0.01, 0.001):
                line: dict[str, Any] = {"target": target, "measure": measure, **counts, "fpr": fpr}
                if not heldout:
                    line["reason"] = "no held-out rows were given"
                else:
                    line |= {"auc": auc, "auc_low": auc - 0.04, "auc_high": auc + 0.04}
                    if fpr < 1 / nonmembers:
                        line["reason"] = f"{nonmembers} held-out rows support no false-positive rate below {1 / nonmembers:g}"  # fmt: skip  # noqa: E501
                    else:
                        tpr = min(1, fpr * (4 if target == "tuned" else 1.1) * (1 + place / 4))
                        line |= {"fpr_realised": fpr, "tpr": tpr, "tpr_low": tpr * 0.7, "tpr_high": min(1, tpr * 1.4)}
                lines.append(line)
    return lines


def _verdict(line: dict[str, Any], base: bool, heldout: bool, hits: int) -> dict[str, Any]:
    def pick(prefix: str) -> dict[str, Any] | None:
        values = {what: line[f"{prefix}{what}"] for what in ("hits", "n", "rate", "low", "high")}
        return None if values["hits"] is None else values

    n, share = line["n"], 100 * line["rate"]
    return {
        "sentences": [
            f"{hits} of {n} rows can be extracted word for word ({share:.1f} %, 95 % interval {100 * line['low']:.1f} "
            f"to {100 * line['high']:.1f}).",
            "The rates of held-out rows and of the base model are near zero, so this is more than chance."
            if base and heldout
            else "Without held-out rows and a base model it cannot be said how much of this is chance.",
        ],
        "headline": {"metric": "greedy", **(pick("") or {}), "floor": pick("floor_"), "base": pick("base_"),
                     "ceiling": pick("ceiling_"), **{k: line.get(k) for k in ("excess", "excess_low", "excess_high")}},
        "cannot_claim": [
            *([] if heldout else ["No held-out rows were given: how much of the rate is chance cannot be said."]),
            *([] if base else ["No base model was given: what it knew before fine-tuning cannot be said."]),
            "Only verbatim memorization was looked for; a paraphrase of a row is not counted.",
        ],
        "notes": [
            "7 rows were not measured: 5 are too short for the shortest prefix, 2 have an empty completion.",
            "12 rows were truncated at 512 tokens as in training; 1,204 tokens were never trained on.",
        ],
        "not_measured": {"shorter than the shortest prefix plus 32 tokens": 5, "the completion is empty": 2},
        "flagged": {"count": hits + 2, "level": 0.05} if heldout else None,
        "fail_if": {"rule": "excess>0.01", "failed": True} if heldout else None,
    }  # fmt: skip


def _spec(num_rows: int, num_heldout: int, base: bool, heldout: bool, seed: int) -> dict[str, Any]:
    held = {"name": "heldout.jsonl", "rows": num_heldout, "fingerprint": "77aa01f2c3d4e5f6"} if heldout else None
    return {
        "schema": 1,
        "remanence": "0.1.0",
        "job": "audit",
        "settings": {"prefix_tokens": [8, 16, 32, 64, 96], "new_tokens": 32, "schemes": ["T=1,k=40"],
                     "measures": ["loss", "zlib", "min_k", "min_k_pp", "reference"], "loss_on": "completion",
                     "alpha": 0.01, "generate": "table",
                     "dtype": "float32", "device": "cpu", "batch_tokens": 4096},
        "data": {"train": {"name": "chats.jsonl", "rows": num_rows + 7, "fingerprint": "a1b2c3d4e5f60718"},
                 "heldout": held},
        "models": {"tuned": {"name": "support-bot-7b-lora", "fingerprint": "0f1e2d3c4b5a6978"},
                   "base": {"name": "stories-260k", "fingerprint": "8877665544332211"} if base else None},
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.20.1", "numpy": "2.3.1"},
        "seed": seed,
    }  # fmt: skip
