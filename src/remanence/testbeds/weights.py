"""Weights of a small model and arrays of numbers as files of the cache: safetensors, and npz without pickle."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

Module = TypeVar("Module", bound=torch.nn.Module)
WEIGHTS = "model.safetensors"
ARRAYS = "arrays.npz"


def save_weights(model: torch.nn.Module, folder: Path) -> None:
    """Write the parameters and buffers of a model, shared ones once."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(model).items()}
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(tensors))


def load_weights(model: Module, folder: Path) -> Module:
    """Fill a model of the same shape with the weights of a folder, bit for bit; it comes back in evaluation mode."""
    saved = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    own = _tensors(model)
    assert saved.keys() == own.keys(), f"weights of another model: {sorted(saved.keys() ^ own.keys())}"
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(saved[name])
    return model.eval()


def save_arrays(arrays: Mapping[str, Any], folder: Path) -> None:
    """Write named arrays."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    (folder / ARRAYS).write_bytes(content.getvalue())


def load_arrays(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read named arrays."""
    with np.load(folder / ARRAYS, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; of those that share memory only the first."""
    named: dict[str, Tensor] = {}
    seen = set[int]()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named
