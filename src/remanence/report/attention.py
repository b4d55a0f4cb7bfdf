"""The attention map of a row as a heat map: the darker a cell, the larger the attention weight.

Colours are the page's CSS variables, as in all charts. Tokens are training text: without `reveal` they are numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import altair as alt
import numpy as np
import vl_convert
from numpy.typing import NDArray

from remanence.explain.attention.maps import AttentionMap
from remanence.report.drawing import Figure, inline
from remanence.report.words import visible

MOST = 40
"""Maximum number of rows and columns: the first positions with loss, and the tokens with the largest weights."""
_KINDS = {
    "self": "Self-attention",
    "encoder": "Encoder self-attention",
    "decoder": "Decoder self-attention",
    "cross": "Cross-attention from the decoder to the source",
}


class Shown(NamedTuple):
    """Which part of a map is drawn."""

    queries: NDArray[np.int64]
    keys: NDArray[np.int64]
    share: float
    """Share of the attention of these queries on these keys, 0 to 1."""


def attention_figure(map: AttentionMap, reveal: bool, name: str = "attention") -> Figure:
    """The map as a heat map; `name` identifies it on the page. Its title says what is left out."""
    shown = choose(map)
    says, sees = (_labels(tokens, reveal) for tokens in (map.says, map.sees))
    cells = [
        {"says": says[q], "sees": sees[k], "look": round(look, 4), "shown": f"{100 * look:.1f} %"}
        for q in shown.queries
        for k, look in zip(shown.keys, map.weights[q, shown.keys].tolist(), strict=True)
        if not np.isnan(look)
    ]
    step = 15
    down = alt.Y(
        "says:N", sort=[says[q] for q in shown.queries], title="predicted token", axis=alt.Axis(labelLimit=110)
    )
    across = alt.X("sees:N", sort=[sees[k] for k in shown.keys], title="attended token",
                   axis=alt.Axis(labelAngle=-60, labelLimit=110))  # fmt: skip
    opacity = alt.FillOpacity("look:Q", scale=alt.Scale(type="sqrt", domainMin=0, range=[0, 1]), legend=None)
    tips = [
        alt.Tooltip(f"{f}:N", title=t)
        for f, t in (("says", "predicted token"), ("sees", "attended token"), ("shown", "weight"))
    ]
    chart = (
        alt.Chart(alt.Data(values=cells))
        .mark_rect(fill="var(--base)", stroke="var(--line)", strokeWidth=0.5)
        .encode(down, across, opacity, tooltip=tips)
        .properties(height=step * len(shown.queries))
        .configure(
            aria=False,
            background="transparent",
            font="system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
            view=alt.ViewConfig(stroke=None),
            axis=alt.AxisConfig(
                domain=False, ticks=False, grid=False, labelColor="var(--muted)", labelFontSize=11, labelPadding=6,
                titleColor="var(--muted)", titleFontSize=12, titleFontWeight="normal", titlePadding=12,
            ),
        )
    )  # fmt: skip
    spec: dict[str, Any] = chart.to_dict()
    spec.pop("$schema", None)
    svg = vl_convert.vegalite_to_svg({**spec, "width": max(160, step * len(shown.keys))})
    spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    return Figure(name, _title(map, shown), (), spec, inline(svg))


def choose(map: AttentionMap, most: int = MOST) -> Shown:
    """The part that is drawn: the first positions with loss (or of all), and the most attended tokens in order."""
    queries = np.flatnonzero(map.learned) if map.learned.any() else np.arange(len(map.says))
    queries = queries[:most]
    look = np.nan_to_num(map.weights[queries]).sum(axis=0)
    keys = np.sort(np.argsort(-look, kind="stable")[:most])
    keys = keys[~np.isnan(map.weights[queries][:, keys]).all(axis=0)]
    return Shown(queries, keys, float(look[keys].sum() / look.sum()))


def _title(map: AttentionMap, shown: Shown) -> str:
    layer = "mean over layers" if map.layer is None else f"layer {map.layer}"
    head = "mean over heads" if map.head is None else f"head {map.head}"
    title = f"{_KINDS[map.kind]}: {layer}, {head}"
    left = []
    if len(shown.queries) < len(map.says):
        left.append(f"{len(shown.queries)} of {len(map.says)} positions")
    if shown.share < 0.9995:
        left.append(f"the {len(shown.keys)} tokens with {100 * shown.share:.0f} % of the attention")
    return f"{title} ({', '.join(left)})" if left else title


def _labels(tokens: tuple[str, ...], reveal: bool) -> list[str]:
    """A unique label for each position: its number, and with `reveal` the token with visible spaces."""
    if not reveal:
        return [str(i) for i in range(len(tokens))]
    return [f"{i} {visible(token.replace(chr(10), '⏎').replace(' ', '·'))}" for i, token in enumerate(tokens)]
