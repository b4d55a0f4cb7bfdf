"""Where the demo's small base model lies: inside this package, trained on public rows by `scripts/train_base.py`."""

from __future__ import annotations

from pathlib import Path


def base_folder() -> Path:
    """The model folder (config, tokenizer, safetensors; under 4 MB) to hand to `AutoModelForCausalLM`."""
    return Path(__file__).parent / "base"
