"""A chart of the report: drawn twice from one Vega-Lite spec, as a still picture and for Vega to bring to life.

Colours are CSS variables of the page, so a chart follows dark, light and print without being drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert


@dataclass(frozen=True)
class Figure:
    """A chart with what stands above it."""

    name: str
    title: str
    series: tuple[tuple[str, str], ...]
    """(kind, name) of what it shows, for the legend."""
    spec: dict[str, Any]
    svg: str


def drawn(
    name: str,
    title: str,
    series: Sequence[tuple[str, str]],
    layers: Sequence[Any],
    height: int,
    width: int = 460,
    values: Sequence[dict[str, Any]] | None = None,
) -> Figure:
    """The layers as a chart in the page's colours: the spec for Vega, and the still picture, `width` pixels wide.

    `values` are the data of every layer that brings none of its own.
    """
    data: dict[str, Any] = {} if values is None else {"data": alt.Data(values=list(values))}
    chart = alt.layer(*layers, **data).properties(height=height).configure(
        aria=False,  # the page says it: a caption above, the numbers in a table
        background="transparent",
        font="system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            domain=False, ticks=False, gridColor="var(--line)", labelColor="var(--muted)", labelFontSize=12,
            labelPadding=8, titleColor="var(--muted)", titleFontSize=12, titleFontWeight="normal", titlePadding=12,
        ),
    )  # fmt: skip
    spec = chart.to_dict()
    spec.pop("$schema", None)  # an address that nothing loads; the page names no other place at all
    svg = vl_convert.vegalite_to_svg({**spec, "width": width})
    spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    return Figure(name, title, tuple(series), spec, inline(svg))


def inline(svg: str) -> str:
    """The SVG as part of a page: namespaces are the page's own."""
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
