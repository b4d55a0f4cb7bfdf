"""Do the rows of a pack see each other? Asked of the live model: is a row read the same in its pack as by itself?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from remanence.jobs.preflight.fed import Fed

ROUNDING = 1e-3
"""Logits (nats) that lie further apart than this, as a share of their spread, are not the same by rounding."""


@torch.no_grad()
def rows_see_each_other(model: Any, collate: Any, items: Iterable[tuple[Any, Fed]]) -> bool | None:
    """Whether, in the first pack of several rows, the second row's logits depend on the row before it.

    `items`: (item of the data set, what is fed of it). None where there is no such pack. Compute in float32 to have a
    clear answer; the model is taken as it is, so put it into eval mode first.
    """
    pack = next(((item, one) for item, one in items if len(one.lengths) > 1 and one.lengths[1] > 1), None)
    if pack is None:
        return None
    item, one = pack
    device = next(model.parameters()).device
    batch = {k: v.to(device) if hasattr(v, "to") else v for k, v in collate([item]).items() if k != "labels"}
    start, size = one.lengths[0], one.lengths[1]
    inside = model(**batch, use_cache=False).logits[0, start : start + size].float()
    ids = torch.from_numpy(one.ids[start : start + size].astype(np.int64))[None].to(device)
    alone = model(input_ids=ids, use_cache=False).logits[0].float()
    allowed = ROUNDING if inside.dtype == next(model.parameters()).dtype else 50 * ROUNDING
    return bool((inside - alone).abs().max() > allowed * max(1.0, float(alone.std())))
