"""Where a fine-tuned model looks while it writes one row's output: two rows of two tasks for each way of training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from remanence.explain.attention.maps import AttentionMap
from remanence.report.attention import attention_figure
from remanence.report.study import Study, kind_of, slug
from remanence.report.words import Line

WHOSE = {"train": "the training row with most copies", "heldout": "a row never trained on"}


@dataclass(frozen=True)
class Drawn:
    """One map."""

    title: str
    about: str
    svg: Markup


def maps(study: Study, *, reveal: bool) -> list[Drawn]:
    """For each model and loss: the maps of the first and the last task's arm of the first seed."""
    out: list[Drawn] = []
    for kind in study.kinds:
        arms = [arm for arm in study.arms if kind_of(arm) == kind]
        arms = [arm for arm in arms if study.run.has(f"arms/{slug(arm)}/maps.parquet")]
        firsts = list({arm["task"]: arm for arm in reversed(arms)}.values())[::-1]
        for arm in firsts[:1] + firsts[1:][-1:]:
            for line in study.run.lines(f"arms/{slug(arm)}/maps"):
                if line["weights"] is not None:
                    out.append(_drawn(f"{arm['task']}, {kind.label}", line, f"map-{len(out)}", reveal))
    return out


def _drawn(title: str, line: Line, name: str, reveal: bool) -> Drawn:
    says, sees = tuple(line["says"]), tuple(line["sees"])
    weights = np.array(line["weights"], np.float32).reshape(len(says), len(sees))
    learned = np.array(line["learned"], bool)
    figure = attention_figure(AttentionMap(weights, says, sees, learned, line["kind"], None, None), reveal, name)
    return Drawn(f"{title}: {WHOSE[line['group']]}", figure.title, Markup(figure.svg))
