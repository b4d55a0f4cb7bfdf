"""The main job on rows that the package makes itself: fine-tune a small model on a fictional casebook, and audit it."""

from __future__ import annotations

from pathlib import Path

from remanence.corpora.casebook.base_model import base_folder
from remanence.corpora.casebook.corpus import write_jsonl
from remanence.corpora.casebook.recipe import DEMO, Recipe
from remanence.jobs.api import audit
from remanence.jobs.audit.conclude import Audit
from remanence.training.finetune import finetune


def demo(out: str | Path = "demo", *, recipe: Recipe = DEMO, resume: bool = False, show_progress: bool = True) -> Audit:
    """Write OUT/train.jsonl and OUT/heldout.jsonl, fine-tune the shipped base model into OUT/model, audit into OUT/run.

    The casebook is fictional, so its report shows the text. Its rows are of five tasks, and the report compares them.
    With `resume`, a model that is there already is not trained again.
    """
    folder = Path(out)
    corpus = recipe.corpus()
    folder.mkdir(parents=True, exist_ok=True)
    train = write_jsonl(corpus.train, folder / "train.jsonl")
    heldout = write_jsonl(corpus.heldout, folder / "heldout.jsonl")
    model = folder / "model"
    if not (resume and (model / "model.safetensors").is_file()):
        finetune(base_folder(), corpus.train, model, progress=show_progress, **recipe.training())  # pyright: ignore
    return audit(
        model,
        train,
        base=base_folder(),
        heldout=heldout,
        out=folder / "run",
        max_length=recipe.max_length,
        prefixes=(0, 4, 8, 16),
        new_tokens=16,
        by=("task",),
        generate="all",
        reveal=True,
        resume=resume,
        show_progress=show_progress,
    )
