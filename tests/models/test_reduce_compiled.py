"""The process that compiles the reduction and one that loads it from the cache compute the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import hashlib
import numpy as np
from remanence.models.reduce_cpu import columns_of
L = np.random.default_rng(0).normal(0, 5, (50, 403)).astype(np.float32)
names = ("logprob", "rank", "gap", "mean", "std", "logprob[T=1]", "logprob[T=1,k=40]", "logprob[T=0.7,p=0.9]")
for name, values in columns_of(L, np.arange(50), names).items():
    print(name, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_compiled_and_cached_reductions_are_equal(tmp_path: Path) -> None:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    compiled, cached = (
        subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert len(compiled.splitlines()) == 8 and list(tmp_path.rglob("*.nbc")), "nothing was cached"
    assert compiled == cached
