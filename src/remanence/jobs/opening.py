"""From names to targets: the tuned model, its base model if one is known, and the rows they are asked about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from remanence.core.target import Target
from remanence.jobs.audit.settings import AuditSettings
from remanence.models.huggingface import HuggingFace
from remanence.models.load import Loaded, load_base, load_model
from remanence.models.render import Renderer
from remanence.models.vocabulary import require_same_vocabulary


def open_targets(
    model: str | Path | Target,
    base: str | Path | Target | None,
    settings: AuditSettings,
    trust_remote_code: bool = False,
) -> tuple[Target, Target | None]:
    """(tuned model, base model or None). Names are opened; targets are taken as they are.

    For an adapter whose base is not given, the base model that it names is used. Both models read the rows as the
    tuned model's tokenizer cuts them.
    """
    if not isinstance(model, str | Path):
        if isinstance(base, str | Path):
            base = _target(load_model(base, device=_device(settings)), settings, None)
        return model, base
    named = None if base is None or isinstance(base, Target) else base
    device = _device(settings)
    loaded = load_model(model, base=named, device=device, trust_remote_code=trust_remote_code)
    tuned = _target(loaded, settings, None)
    if base is not None and named is None:
        return tuned, base  # pyright: ignore[reportReturnType]
    below = load_base(model, base=named, device=device, trust_remote_code=trust_remote_code)
    if below is None:
        return tuned, None
    require_same_vocabulary(loaded, below)
    return tuned, _target(below, settings, tuned)


def _target(loaded: Loaded, settings: AuditSettings, like: HuggingFace | None) -> HuggingFace:
    renderer = Renderer(
        tokenizer=loaded.tokenizer,
        loss_on=settings.loss_on,
        max_length=settings.max_length,
        add_eos=settings.add_eos,
        seq2seq=loaded.family == "seq2seq",
        context=loaded.context,
    )
    return HuggingFace(
        module=loaded.model,
        tokenizer=loaded.tokenizer if like is None else like.tokenizer,
        renderer=renderer if like is None else like.renderer,
        name=loaded.name,
        fingerprint=loaded.fingerprint,
        family=loaded.family,
        dtype=getattr(torch, settings.dtype),
        batch_tokens=settings.batch_tokens,
    )


def _device(settings: AuditSettings) -> str:
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def data_name(data: Any) -> str:
    """What to call the data in `run.json`: a file's name without its folder, or what it is."""
    return Path(data).name if isinstance(data, str | Path) else type(data).__name__
