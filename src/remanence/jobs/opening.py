"""From names to targets: the tuned model, its base model if one is known, and the rows they are asked about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from remanence.core.errors import RemanenceError
from remanence.core.target import Target
from remanence.jobs.audit.settings import AuditSettings
from remanence.jobs.versions import versions
from remanence.models.huggingface import HuggingFace
from remanence.models.load import Loaded, load_base, load_model, load_tokenizer
from remanence.models.render import Renderer
from remanence.models.vocabulary import require_same_vocabulary, same_vocabulary
from remanence.models.weights import base_folder, model_folder, read_config, title_of, weight_files, weights_fingerprint

VLLM = "vllm:"
"""Stands before a model that is to run under vLLM."""


def open_targets(
    model: str | Path | Target,
    base: str | Path | Target | None,
    settings: AuditSettings,
    trust_remote_code: bool = False,
) -> tuple[Target, Target | None]:
    """(tuned model, base model or None). Names are opened; targets are taken as they are.

    For an adapter whose base is not given, the base model that it names is used. Both models read the rows as the
    tuned model's tokenizer cuts them. `vllm:MODEL` runs under vLLM.
    """
    if any(isinstance(name, str) and name.startswith(VLLM) for name in (model, base)):
        return _under_vllm(model, base, settings, trust_remote_code)
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


def open_model(name: str | Path, settings: AuditSettings, trust_remote_code: bool = False) -> HuggingFace:
    """One model by folder or Hub name."""
    return _target(load_model(name, device=_device(settings), trust_remote_code=trust_remote_code), settings, None)


def _under_vllm(
    model: str | Path | Target, base: str | Path | Target | None, settings: AuditSettings, trust_remote_code: bool
) -> tuple[Target, Target | None]:
    """Both models, those named `vllm:MODEL` under vLLM, which share the GPU's memory evenly."""
    both = [isinstance(name, str) and name.startswith(VLLM) for name in (model, base)]

    def one(name: str | Path | Target) -> Any:
        if not isinstance(name, str | Path):
            return name
        if not str(name).startswith(VLLM):
            return open_model(name, settings, trust_remote_code)
        return _vllm(str(name).removeprefix(VLLM), settings, trust_remote_code, share=0.9 / sum(both))

    tuned: Any = one(model)
    below: Any = None if base is None else one(base)
    if isinstance(base, str | Path) and not same_vocabulary(tuned.tokenizer, below.tokenizer):
        raise RemanenceError(
            f"The base model {below.name} has another vocabulary than {tuned.name}: name the model that the "
            "fine-tuning started from, or leave --base out."
        )
    if isinstance(base, str | Path):
        below.tokenizer, below.renderer = tuned.tokenizer, tuned.renderer
    return tuned, below


def _vllm(name: str, settings: AuditSettings, trust_remote_code: bool, share: float) -> Target:
    from remanence.models.vllm import open_vllm

    folder, title = model_folder(name), title_of(name)
    context = read_config(folder / "config.json", title).get("max_position_embeddings")
    tokenizer = load_tokenizer(folder, title, trust_remote_code=trust_remote_code)
    renderer = Renderer(tokenizer, settings.loss_on, settings.max_length, settings.add_eos, context=context)
    told = weights_fingerprint(weight_files(folder, title))
    engine: dict[str, Any] = {"dtype": settings.dtype, "gpu_memory_utilization": share, "seed": settings.seed}
    return open_vllm(str(folder), renderer, title, told, trust_remote_code=trust_remote_code, **engine)  # pyright: ignore[reportReturnType]


def roles(tuned: Target, below: Target | None) -> dict[str, Target]:
    """The targets of an audit by role."""
    return {"tuned": tuned} if below is None else {"tuned": tuned, "base": below}


@dataclass(frozen=True)
class Recipe:
    """How a worker opens the targets of an audit anew: by name, and they must be the very same."""

    model: str
    base: str | None
    settings: AuditSettings
    trust_remote_code: bool = False
    fingerprints: dict[str, str] = field(default_factory=dict[str, str])
    """Of the targets as they are open here, by role."""
    versions: dict[str, str] = field(default_factory=versions)

    @classmethod
    def of(
        cls,
        model: str | Path | Target,
        base: str | Path | Target | None,
        settings: AuditSettings,
        trust_remote_code: bool,
        targets: dict[str, Target],
    ) -> Recipe | None:
        """The recipe of targets that were opened by name; None when one was handed over as an object.

        Folders become absolute: a worker looks from another place. An adapter's base model that was found from here is
        named too.
        """
        if not isinstance(model, str | Path) or not (base is None or isinstance(base, str | Path)):
            return None
        if base is None and (Path(model).expanduser() / "adapter_config.json").is_file():
            found = base_folder(model, None)
            base = found[1] if found is not None and Path(found[1]).is_dir() else None
        fingerprints = {role: target.fingerprint for role, target in targets.items()}
        return cls(_absolute(model), base and _absolute(base), settings, trust_remote_code, fingerprints)

    def __call__(self) -> dict[str, Target]:
        """The targets by role. Raises `RemanenceError` when they, or what runs them, are others here."""
        if (here := versions()) != self.versions:
            other = sorted(name for name in {*here, *self.versions} if here.get(name) != self.versions.get(name))
            raise RemanenceError(f"It has other versions of {', '.join(other)}: install the same on every machine.")
        tuned, below = open_targets(self.model, self.base, self.settings, self.trust_remote_code)
        targets = roles(tuned, below)
        for role, target in targets.items():
            if target.fingerprint != self.fingerprints.get(role):
                raise RemanenceError(
                    f"{target.name} has other weights there than here: copy the model to every machine again."
                )
        return targets


def _absolute(name: str | Path) -> str:
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.exists() else str(name)


def on_workers(settings: AuditSettings) -> AuditSettings:
    """The settings by which this process opens targets when workers do the work: off the GPU, unless it scores too."""
    if settings.device.startswith("cuda:"):
        raise RemanenceError(f"--device {settings.device} is a GPU of one machine: with --executor ray, use cuda.")
    return settings if settings.background == "base" else replace(settings, device="cpu")


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
