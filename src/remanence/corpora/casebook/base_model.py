"""Folders of the two small base models of the package; `scripts/train_*base.py` trained them on public rows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_FOLDERS = {"causal": "base", "seq2seq": "base_seq2seq"}


def base_folder(family: Literal["causal", "seq2seq"] = "causal") -> Path:
    """The model folder (config, tokenizer, safetensors; under 4 MB) to hand to `load_model` or `finetune`.

    causal: a Llama of 0.93 million weights; seq2seq: a T5 of half a million, with the same tokens.
    """
    return Path(__file__).parent / _FOLDERS[family]
