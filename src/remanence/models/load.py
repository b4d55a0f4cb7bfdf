"""Load a model: a folder, a Hub name or a PEFT adapter, from safetensors only.

Weights come from safetensors files only. A folder is never looked up on the network, and neither is the base model
that an adapter names: only a Hub name that you wrote yourself is fetched.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from remanence.core.errors import RemanenceError
from remanence.models.weights import (
    base_folder,
    has_tokenizer,
    model_folder,
    read_config,
    title_of,
    weight_files,
    weights_fingerprint,
)

Family: TypeAlias = Literal["causal", "seq2seq"]
Place: TypeAlias = str | Mapping[str, str | int]
"""cpu, cuda, cuda:1, auto (a GPU when there is one), map (accelerate spreads the model over all GPUs, then memory, then
disk), or a device map of your own: module name -> where it goes."""
DTYPES = ("auto", "float32", "bfloat16", "float16")
_NOT_GENERATIVE = ("MaskedLM", "Classification", "QuestionAnswering")


@dataclass(frozen=True)
class Loaded:
    """A model ready to be read: in eval mode, without gradients, on its device."""

    model: Any
    """The `nn.Module`; a `PeftModel` for an adapter."""
    tokenizer: Any
    family: Family
    name: str
    """The Hub name, or the last part of the folder's path."""
    fingerprint: str
    """Hash of the weights (and for an adapter, of its settings and its base model)."""
    num_parameters: int
    context: int | None
    """Longest row in tokens; None for models without such a limit, like T5."""
    has_nan: bool
    """Whether some weight is NaN or infinite: then so is what the model says."""
    base: str | None = None
    """For an adapter, the folder or Hub name of its base model. May hold a path: keep it out of the run folder."""

    @property
    def vocabulary(self) -> int:
        """Number of token ids that the model knows."""
        return num_embeddings(self.model)


def load_model(
    name: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str = "float32",
    device: Place = "cpu",
    trust_remote_code: bool = False,
) -> Loaded:
    """The model of a folder or Hub name; for a PEFT adapter, the base model (found, or given) with the adapter on it.

    Raises `RemanenceError` for pickled weights, a missing tokenizer, an unreadable file or a base that is not there.
    """
    folder, title = model_folder(name), title_of(name)
    if (folder / "adapter_config.json").is_file():
        return _load_adapter(folder, title, name, base, dtype, device, trust_remote_code)
    return _load_whole(folder, title, dtype, device, trust_remote_code)


def load_base(
    name: str | Path,
    *,
    base: str | Path | None = None,
    dtype: str = "float32",
    device: Place = "cpu",
    trust_remote_code: bool = False,
) -> Loaded | None:
    """The model that the fine-tuning of `name` started from: `base` if given, else the one that an adapter names.

    None when it is not known.
    """
    found = base_folder(name, base)
    if found is None:
        return None
    folder, source = found
    if (folder / "adapter_config.json").is_file():
        return load_model(folder, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    return _load_whole(folder, title_of(source), dtype, device, trust_remote_code)


@contextlib.contextmanager
def quiet() -> Generator[list[warnings.WarningMessage]]:
    """Keep transformers' bars and warnings off the terminal; Python warnings are collected instead of shown."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _load_whole(
    folder: Path, title: str, dtype: str, device: Place, trust: bool, tokenizer_folder: Path | None = None
) -> Loaded:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    place = None if is_map(device) else _device(str(device))
    if dtype not in DTYPES:
        raise RemanenceError(f"dtype {dtype!r} is not known: use one of {', '.join(DTYPES)}.")
    _ = read_config(folder / "config.json", title)
    files = weight_files(folder, title)
    tokenizer = load_tokenizer(tokenizer_folder or folder, title, trust_remote_code=trust)
    with _explained(title), quiet():
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust)
        if any(word in a for a in config.architectures or () for word in _NOT_GENERATIVE):
            raise RemanenceError(f"{title} is a {config.architectures[0]}: only models that generate text are audited.")
        auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model, info = auto.from_pretrained(
            folder,
            config=config,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust,
            output_loading_info=True,
            device_map=None if place is not None else "auto" if isinstance(device, str) else dict(device),
        )
        lost = sorted(map(str, (*info["missing_keys"], *info.get("mismatched_keys", ()))))
        if lost:
            raise RemanenceError(
                f"The weights of {title} are not whole: {len(lost)} are missing or misshapen ({lost[0]}, ...); "
                "save or copy the model again."
            )
        model = _frozen(model, place)
    if tokenizer_folder is None and tokenizer.vocab_size > num_embeddings(model):
        raise RemanenceError(
            f"The tokenizer of {title} has {tokenizer.vocab_size} tokens, but the model knows "
            f"{num_embeddings(model)}: it belongs to another model."
        )
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        family="seq2seq" if config.is_encoder_decoder else "causal",
        name=title,
        fingerprint=weights_fingerprint(files),
        num_parameters=sum(p.numel() for p in model.parameters()),
        context=getattr(config.get_text_config(), "max_position_embeddings", None),
        has_nan=has_nan(model) or (_partly_on_disk(model) and _files_have_nan(files)),
    )


def _load_adapter(
    folder: Path, title: str, name: str | Path, base: str | Path | None, dtype: str, device: Place, trust: bool
) -> Loaded:
    from peft import PeftModel

    settings = read_config(folder / "adapter_config.json", title)
    files = weight_files(folder, title, "adapter")
    if str(settings.get("peft_type")) in {"PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING"}:
        raise RemanenceError(
            f"{title} is a {settings['peft_type']} adapter, which adds tokens to rows: use LoRA or such."
        )
    found = base_folder(name, base)
    assert found is not None
    below_folder, source = found
    own_tokenizer = folder if has_tokenizer(folder) else None
    below = _load_whole(below_folder, title_of(source), dtype, device, trust, own_tokenizer)
    with _explained(title), quiet() as caught:
        if len(below.tokenizer) > num_embeddings(below.model) and own_tokenizer:
            below.model.resize_token_embeddings(len(below.tokenizer))  # tokens added in training, as peft does
        if _partly_on_disk(below.model):
            raise RemanenceError(
                f"{below.name} fits into memory only in part, and no adapter is put on a model that is partly on disk: "
                "merge the adapter into the model first, or use a machine with more memory."
            )
        place = None if is_map(device) else str(device)
        model: Any = PeftModel.from_pretrained(below.model, str(folder), torch_device=place, local_files_only=True)
        if any("missing adapter keys" in str(warning.message) for warning in caught):
            raise RemanenceError(f"The adapter {title} does not fit the base model {below.name}: check --base.")
        model = _frozen(model, None if place is None else _device(place))
    settings = {k: v for k, v in settings.items() if k not in {"base_model_name_or_path", "revision", "auto_mapping"}}
    return replace(
        below,
        model=model,
        name=title,
        fingerprint=weights_fingerprint(
            files, json.dumps(settings, sort_keys=True).encode(), below.fingerprint.encode()
        ),
        num_parameters=sum(p.numel() for p in model.parameters()),
        has_nan=has_nan(model) or below.has_nan,
        base=str(source),
    )


def load_tokenizer(folder: Path, name: str, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer saved in a model folder; raises `RemanenceError` when there is none."""
    from transformers import AutoTokenizer

    if not has_tokenizer(folder):
        raise RemanenceError(
            f"{name} has no tokenizer: save the one used in training beside the weights, "
            "with tokenizer.save_pretrained(FOLDER)."
        )
    with _explained(f"the tokenizer of {name}"), quiet():
        tokenizer: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
        if not tokenizer(text="a b", add_special_tokens=False)["input_ids"]:
            raise RemanenceError(f"The tokenizer of {name} has no vocabulary: save or copy it again.")
    return tokenizer


def has_nan(model: nn.Module) -> bool:
    """Whether some weight is NaN or infinite, of those that are in memory."""
    return _some_nan(p.detach() for p in model.parameters() if not p.is_meta)


def _files_have_nan(files: Iterable[Path]) -> bool:
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as tensors:
            if _some_nan(tensors.get_tensor(key) for key in tensors.keys()):  # noqa: SIM118  no mapping
                return True
    return False


def _some_nan(tensors: Iterable[Tensor]) -> bool:
    extremes = (torch.aminmax(tensor) for tensor in tensors if tensor.is_floating_point() and tensor.numel())
    return any(not bool(torch.isfinite(low) & torch.isfinite(high)) for low, high in extremes)


@contextlib.contextmanager
def _explained(name: str) -> Generator[None]:
    """Turn what the libraries raise on unreadable files into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except RemanenceError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        text = " ".join(str(error).split())
        if "trust_remote_code" in text:
            text = "it brings Python code of its own; read that code, then pass trust_remote_code=True"
        raise RemanenceError(f"Cannot load {name}: {text[:300]}") from error


def is_map(device: Place) -> bool:
    """Whether the modules of a model are put in several places."""
    return device == "map" or not isinstance(device, str)


def _partly_on_disk(model: nn.Module) -> bool:
    """Whether weights are fetched from their place during the pass; until then they are `meta` here."""
    return any(p.is_meta for p in model.parameters())


def _frozen(model: Any, device: torch.device | None) -> Any:
    placed = model if device is None else model.to(device)
    return placed.eval().requires_grad_(False)


def _device(device: str) -> torch.device:
    try:
        place = (
            torch.device("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else torch.device(device)
        )
    except RuntimeError:
        raise RemanenceError(f"There is no device {device!r}: use cpu, cuda, cuda:1, auto, or map.") from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise RemanenceError("This machine has no usable CUDA device: use --device cpu.")
    return place


def num_embeddings(model: Any) -> int:
    """How many token ids a model knows."""
    return int(model.get_input_embeddings().weight.shape[0])
