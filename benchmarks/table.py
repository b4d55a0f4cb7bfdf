"""All likelihood measures and 12 sampling schemes against one bare forward pass over the same batch: time and peak."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from common import gpt2, random_ids, rendered, side_by_side, target

from remanence.core.scheme import SamplingScheme
from remanence.core.verbs import columns_for
from remanence.measure.extraction.discoverable import Discoverable
from remanence.measure.extraction.extraction_strength import ExtractionStrength
from remanence.measure.extraction.np_discoverable import NPDiscoverable
from remanence.measure.likelihood.loss import Loss
from remanence.measure.likelihood.min_k import MinK
from remanence.measure.likelihood.min_k_plus_plus import MinKPlusPlus
from remanence.measure.likelihood.reference import Reference
from remanence.measure.likelihood.zlib_ratio import ZlibRatio

ROWS, WIDTH = 8, 256
TEMPERATURES = (1.0, 0.7, 1.3, 0.5, 0.85, 1.6)
CUTS = ((None, None), (40, None), (None, 0.9), (40, 0.95))
SCHEMES = [SamplingScheme(t, k, p) for t, (k, p) in itertools.product(TEMPERATURES, CUTS)]
"""24 schemes, four per temperature; the first 12 are the ones timed."""


def measures(schemes: int) -> list[Any]:
    """Every measure of the table, and one (n,p)-discoverable measure per scheme."""
    plain = [Loss(), ZlibRatio(), MinK(), MinKPlusPlus(), Reference(), Discoverable(), ExtractionStrength()]
    return [*plain, *(NPDiscoverable(scheme) for scheme in SCHEMES[:schemes])]


def bare(model: Any, ids: torch.Tensor) -> None:
    """One forward pass with its logits."""
    with torch.inference_mode():
        _ = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def audited(seen: Any, ids: torch.Tensor, schemes: int) -> None:
    """The token table of the same rows and all scores from it."""
    wanted = measures(schemes)
    for row in seen.score_rendered([rendered(line) for line in ids], columns_for(wanted)):
        for measure in wanted:
            measure.score(row, row)  # the reference measure compares the row with itself: the base is another pass


def run(pairs: int = 7) -> dict[str, Any]:
    """Time for the flat logits of random weights and for logits of 3 nats; peak memory in processes of their own."""
    ids = random_ids(ROWS, WIDTH)
    found: dict[str, Any] = {"rows": ROWS, "width": WIDTH}
    for name, nats in (("random weights", None), ("entropy of 3 nats", 3.0)):
        model = gpt2(nats)
        seen = target(model)
        found[name] = side_by_side(lambda m=model: bare(m, ids), lambda s=seen: audited(s, ids, 12), pairs)
        found[name]["entropy"] = entropy(model, ids[:1])
        del model, seen
    found["peak_mb"] = {what: peak(what) for what in ("start", "bare", "1", "12", "24")}
    return found


def entropy(model: Any, ids: torch.Tensor) -> float:
    """Mean entropy of the next token, nats."""
    with torch.inference_mode():
        return float(torch.distributions.Categorical(logits=model(ids).logits).entropy().mean())


def peak(what: str) -> float:
    """Most memory (VmHWM, MB) of a fresh process that makes one pass; the peak of building the model is not counted."""
    out = subprocess.run([sys.executable, Path(__file__), what], check=True, capture_output=True, text=True)
    return float(out.stdout.split()[-1])


def one_pass(what: str) -> None:
    """In the fresh process: build the model, forget the peak so far, make one pass (twice, as caches fill), print."""
    model, ids = gpt2(), random_ids(ROWS, WIDTH)
    seen = target(model)
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is in use now
    for _ in range(2):
        if what == "bare":
            bare(model, ids)
        elif what != "start":
            audited(seen, ids, int(what))
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


if __name__ == "__main__":
    one_pass(sys.argv[1])
