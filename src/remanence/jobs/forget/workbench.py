"""The model that is changed: loaded once, changed by one method after another, and reset in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from remanence.core.errors import RemanenceError
from remanence.core.record import Record
from remanence.core.run import Run
from remanence.core.table import Rendered
from remanence.core.target import rendered_rows
from remanence.jobs.forget.rows import Sides
from remanence.jobs.forget.settings import ForgetSettings
from remanence.jobs.forget.snapshot import SideSnapshot, take_snapshot, with_module
from remanence.measure.extraction.discoverable import Discoverable
from remanence.models.huggingface import HuggingFace
from remanence.training.reference import ReferenceModel, trainable_state
from remanence.training.rows import Row, row_of
from remanence.training.settings import FinetuneSettings


@dataclass
class Workbench:
    """The model, its rows and settings, shared by all parts of forgetting."""

    run: Run
    target: HuggingFace
    """The model to change; its module is the live one."""
    base: HuggingFace | None
    """The model before fine-tuning, if it is known."""
    sides: Sides
    settings: ForgetSettings
    recipe: FinetuneSettings | None
    train: Sequence[Record]
    """All training rows, copies included, for methods that train the base model again."""
    base_folder: str | None = None
    """Folder of the base model; not written anywhere."""
    models: Sequence[str] = ()
    """Folders of peers to fuse with."""
    _rendered: dict[str, list[Rendered | str]] = field(default_factory=dict[str, list[Rendered | str]])

    def __post_init__(self) -> None:
        self.start = ReferenceModel(self.target.module, trainable_state(self.target.module))
        self.before = {side: self.snapshot(side) for side in ("forget", "guide", "judge", "untouched")}
        """Snapshots of the given model, on every side."""

    def reset(self) -> None:
        """Restore every weight of the given model."""
        self.start.restore(self.target.module)
        self.target.module.eval()

    def records(self, side: str) -> Sequence[Record]:
        """The rows of a side: forget, retain, untouched, guide, judge."""
        return getattr(self.sides, side)

    def rendered(self, side: str) -> list[Rendered | str]:
        """The same as the model reads them, each read once."""
        if side not in self._rendered:
            self._rendered[side] = rendered_rows(self.target, self.records(side))
        return self._rendered[side]

    def rows(self, side: str) -> list[Row]:
        """The same as the model learns them; a row of which nothing is learned is left out."""
        rows = [row_of(r) for r in self.rendered(side) if isinstance(r, Rendered)]
        return [row for row in rows if any(label >= 0 for label in row.labels)]

    def snapshot(self, side: str, target: HuggingFace | None = None) -> SideSnapshot:
        """A snapshot of the live model, or of another one."""
        return take_snapshot(target or self.target, self.rendered(side), self.settings)

    def extraction_prefix(self, before: SideSnapshot, row: int) -> int:
        """The shortest prefix at which a row was extracted before; the longest of the grid where it was not."""
        finding = Discoverable(self.settings.prefixes, self.settings.new_tokens).find("", before.rows[row])
        return min((n for n, hit in finding.evidence.get("at", {}).items() if hit), default=self.settings.prefixes[-1])

    # ------------------------------------------------------------- states

    def keep(self, slug: str, module: Any | None = None) -> None:
        """Write the weights that may change, of the live module or another of its form, into the run."""
        weights = trainable_state(module or self.target.module)
        if set(weights) != set(self.start.values):
            raise RemanenceError(
                f"{slug} gives a model of another form than the given one; "
                "give the recipe that it was trained with (the same LoRA rank, or none)."
            )
        place = self.run.folder / "states" / f"{slug}.safetensors"
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_suffix(".part")
        save_file({name: w.detach().cpu().contiguous().clone() for name, w in weights.items()}, part)
        part.replace(place)

    @torch.no_grad()
    def take(self, slug: str) -> None:
        """Load a kept state into the live module."""
        live = trainable_state(self.target.module)
        for name, value in self.state(slug).items():
            live[name].copy_(value)
        self.target.module.eval()

    def state(self, slug: str) -> dict[str, Tensor]:
        """A kept state."""
        return load_file(self.run.folder / "states" / f"{slug}.safetensors")

    def drop(self, slug: str) -> None:
        """Delete a state that is not needed any more."""
        Path(self.run.folder / "states" / f"{slug}.safetensors").unlink(missing_ok=True)

    def other(self, module: Any) -> HuggingFace:
        """The target with another module in it."""
        return with_module(self.target, module)
