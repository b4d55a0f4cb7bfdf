"""Opening models by name: the fine-tuned model and, where one is known, its base model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from remanence.core.errors import RemanenceError
from remanence.core.target import Target
from remanence.engine.describe import versions
from remanence.models.huggingface import HuggingFace
from remanence.models.load import Loaded, load_base, load_model, load_tokenizer
from remanence.models.render import Renderer
from remanence.models.settings import TargetSettings
from remanence.models.vocabulary import require_same_vocabulary, same_vocabulary
from remanence.models.weights import base_folder, model_folder, read_config, title_of, weight_files, weights_fingerprint

S = TypeVar("S", bound=TargetSettings)

VLLM = "vllm:"
"""Prefix of the name of a model that is to run under vLLM."""


def open_targets(
    model: str | Path | Target,
    base: str | Path | Target | None,
    settings: TargetSettings,
    trust_remote_code: bool = False,
) -> tuple[Target, Target | None]:
    """(tuned model, base model or None). Names are opened; targets are used as they are.

    For an adapter without `base`, the base model that it names is opened. Both models use the tokenizer of the tuned
    model. `vllm:MODEL` runs under vLLM.
    """
    if any(isinstance(name, str) and name.startswith(VLLM) for name in (model, base)):
        return _under_vllm(model, base, settings, trust_remote_code)
    if not isinstance(model, str | Path):
        if isinstance(base, str | Path):
            base = _target(load_model(base, device=_device(settings)), settings, None)
        return model, base
    base_name = None if base is None or isinstance(base, Target) else base
    device = _device(settings)
    loaded = load_model(model, base=base_name, device=device, trust_remote_code=trust_remote_code)
    tuned = _target(loaded, settings, None)
    if base is not None and base_name is None:
        return tuned, base  # pyright: ignore[reportReturnType]
    below = load_base(model, base=base_name, device=device, trust_remote_code=trust_remote_code)
    if below is None:
        return tuned, None
    require_same_vocabulary(loaded, below)
    return tuned, _target(below, settings, tuned)


def open_model(name: str | Path, settings: TargetSettings, trust_remote_code: bool = False) -> HuggingFace:
    """One model by folder or Hub name."""
    return _target(load_model(name, device=_device(settings), trust_remote_code=trust_remote_code), settings, None)


def _under_vllm(
    model: str | Path | Target, base: str | Path | Target | None, settings: TargetSettings, trust_remote_code: bool
) -> tuple[Target, Target | None]:
    """Both models, those named `vllm:MODEL` under vLLM with equal shares of the GPU memory."""
    under_vllm = [isinstance(name, str) and name.startswith(VLLM) for name in (model, base)]

    def opened(name: str | Path | Target) -> Any:
        if not isinstance(name, str | Path):
            return name
        if not str(name).startswith(VLLM):
            return open_model(name, settings, trust_remote_code)
        return _vllm(str(name).removeprefix(VLLM), settings, trust_remote_code, share=0.9 / sum(under_vllm))

    tuned: Any = opened(model)
    below: Any = None if base is None else opened(base)
    if isinstance(base, str | Path) and not same_vocabulary(tuned.tokenizer, below.tokenizer):
        raise RemanenceError(
            f"The base model {below.name} has another vocabulary than {tuned.name}: name the model that the "
            "fine-tuning started from, or leave --base out."
        )
    if isinstance(base, str | Path):
        below.tokenizer, below.renderer = tuned.tokenizer, tuned.renderer
    return tuned, below


def _vllm(name: str, settings: TargetSettings, trust_remote_code: bool, share: float) -> Target:
    from remanence.models.vllm import open_vllm

    folder, title = model_folder(name), title_of(name)
    context = read_config(folder / "config.json", title).get("max_position_embeddings")
    tokenizer = load_tokenizer(folder, title, trust_remote_code=trust_remote_code)
    renderer = Renderer(tokenizer, settings.loss_on, settings.max_length, settings.add_eos, context=context)
    fingerprint = weights_fingerprint(weight_files(folder, title))
    engine: dict[str, Any] = {"dtype": settings.dtype, "gpu_memory_utilization": share, "seed": settings.seed}
    return open_vllm(str(folder), renderer, title, fingerprint, trust_remote_code=trust_remote_code, **engine)  # pyright: ignore[reportReturnType]


def by_role(tuned: Target, base: Target | None) -> dict[str, Target]:
    """The targets of a run by role."""
    return {"tuned": tuned} if base is None else {"tuned": tuned, "base": base}


@dataclass(frozen=True)
class TargetRecipe:
    """How a worker opens the targets of a run: by name, with a check that they are the same models."""

    model: str
    base: str | None
    settings: TargetSettings
    trust_remote_code: bool = False
    fingerprints: dict[str, str] = field(default_factory=dict[str, str])
    """Fingerprints by role of the targets as they are open in this process."""
    versions: dict[str, str] = field(default_factory=versions)

    @classmethod
    def of(
        cls,
        model: str | Path | Target,
        base: str | Path | Target | None,
        settings: TargetSettings,
        trust_remote_code: bool,
        targets: dict[str, Target],
    ) -> TargetRecipe | None:
        """The recipe for targets that were opened by name; None when one was given as an object.

        Folders become absolute, because a worker has another working directory. The base model of an adapter that was
        found relative to it is named too.
        """
        if not isinstance(model, str | Path) or not (base is None or isinstance(base, str | Path)):
            return None
        if base is None and (Path(model).expanduser() / "adapter_config.json").is_file():
            folder = base_folder(model, None)
            base = folder[1] if folder is not None and Path(folder[1]).is_dir() else None
        fingerprints = {role: target.fingerprint for role, target in targets.items()}
        return cls(_absolute(model), base and _absolute(base), settings, trust_remote_code, fingerprints)

    def __call__(self) -> dict[str, Target]:
        """The targets by role. Raises `RemanenceError` when models or package versions differ from those recorded."""
        if (here := versions()) != self.versions:
            different = sorted(name for name in {*here, *self.versions} if here.get(name) != self.versions.get(name))
            raise RemanenceError(f"It has other versions of {', '.join(different)}: install the same on every machine.")
        tuned, below = open_targets(self.model, self.base, self.settings, self.trust_remote_code)
        targets = by_role(tuned, below)
        for role, target in targets.items():
            if target.fingerprint != self.fingerprints.get(role):
                raise RemanenceError(
                    f"{target.name} has other weights there than here: copy the model to every machine again."
                )
        return targets


def _absolute(name: str | Path) -> str:
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.exists() else str(name)


def beside_workers(settings: S, *, scores_here: bool) -> S:
    """The settings with which this process opens targets that workers score: on the CPU, unless it scores text too."""
    if settings.device.startswith("cuda:"):
        raise RemanenceError(f"--device {settings.device} is a GPU of one machine: with --executor ray, use cuda.")
    return settings if scores_here else replace(settings, device="cpu")


def _target(loaded: Loaded, settings: TargetSettings, like: HuggingFace | None) -> HuggingFace:
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


def _device(settings: TargetSettings) -> str:
    if settings.device != "auto":
        return settings.device
    return "cuda" if torch.cuda.is_available() else "cpu"
