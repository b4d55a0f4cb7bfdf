"""Greedy extraction at 8 prefix lengths: read off the token table, against batched `generate` with a KV cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import gpt2, random_ids, rendered, side_by_side, target

from remanence.core.target import cut
from remanence.measure.extraction.discoverable import Discoverable

WIDTH, NEW_TOKENS = 256, 50
PREFIXES = tuple(range(25, 201, 25))
ROWS = (8, 4, 1)
"""Batch sizes; the first is the one that the target speaks of."""


def make_rows(model: Any, count: int) -> list[np.ndarray]:
    """Rows of random ids; every second one goes on, from a random place, with what the model itself says greedily."""
    lines = random_ids(count, WIDTH).numpy()
    known = np.random.default_rng(0).integers(8, 150, count)
    for i in range(0, count, 2):
        prompt = torch.from_numpy(lines[i : i + 1, : known[i]])
        lines[i] = generate(model, prompt, torch.ones_like(prompt), WIDTH - prompt.shape[1])[0].numpy()
    return list(lines)


def generate(model: Any, ids: torch.Tensor, mask: torch.Tensor, new_tokens: int) -> torch.Tensor:
    """Greedy, KV cache on, not stopping at end-of-text."""
    with torch.inference_mode():
        return model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False, eos_token_id=None,
            pad_token_id=0,
        )  # fmt: skip


def by_generating(model: Any, rows: list[Any]) -> np.ndarray:
    """[rows, prefixes] verdicts: all rows in one batch, one call per prefix length."""
    verdicts = np.zeros((len(rows), len(PREFIXES)), bool)
    for column, prefix in enumerate(PREFIXES):
        prompts = [cut(row, str(i), prefix, NEW_TOKENS) for i, row in enumerate(rows)]
        ids = torch.from_numpy(np.stack([p.ids for p in prompts]).astype(np.int64))  # of one length: no padding
        said = generate(model, ids, torch.ones_like(ids), NEW_TOKENS)[:, ids.shape[1] :].numpy()
        verdicts[:, column] = (said == np.stack([p.expected for p in prompts])).all(1)
    return verdicts


def by_table(seen: Any, rows: list[Any]) -> np.ndarray:
    """[rows, prefixes] verdicts from one pass per row (and at every other cut, which the timing includes)."""
    measure = Discoverable(PREFIXES, NEW_TOKENS)
    scores = [measure.score(row) for row in seen.score_rendered(rows, measure.needs)]
    return np.array([[score.evidence["at"][prefix] for prefix in PREFIXES] for score in scores])


def run(pairs: int = 3) -> dict[str, Any]:
    """Ratio per batch size: time of generating over time of the table, with the verdicts compared one by one."""
    model = gpt2(nats=3.0)
    seen = target(model)
    found: dict[str, Any] = {"width": WIDTH, "new_tokens": NEW_TOKENS, "prefixes": PREFIXES}
    for count in ROWS:
        rows = [rendered(line) for line in make_rows(model, count)]
        kept: dict[str, np.ndarray] = {}
        times = side_by_side(
            lambda r=rows, k=kept: k.update(table=by_table(seen, r)),
            lambda r=rows, k=kept: k.update(generated=by_generating(model, r)),
            pairs,
        )
        same = bool((kept["table"] == kept["generated"]).all())
        times |= {"verdicts": kept["table"].size, "hits": int(kept["table"].sum()), "identical": same}
        found[f"{count} rows"] = times
    return found
