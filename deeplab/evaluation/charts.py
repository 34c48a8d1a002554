"""The charts of a report, as SVG for a web page whose style sheet has the colors."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pygal
import pygal.style

from deeplab.evaluation.table import rate

# Its hook for maps that come as packages of their own makes Python 3.11 warn at later imports.
sys.meta_path[:] = [
    finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)
]

# Units of the drawing, which the page scales: small enough that a telephone shows the letters.
_WIDTH = 400
_LINE = 17
_LONGEST_NAME = 22

# In a page: the name space, remarks, and settings for the script that is not loaded.
_NEEDLESS = re.compile(r"<!--.*?-->|<script.*?</script>| xmlns=\S+?(?=[ >])", re.DOTALL)

_STYLE = pygal.style.Style(
    background="transparent",
    plot_background="transparent",
    foreground="var(--text)",
    foreground_strong="var(--text)",
    foreground_subtle="var(--line)",
    guide_stroke_color="var(--line)",
    major_guide_stroke_color="var(--line)",
    colors=("var(--bar)", "var(--warm)", "var(--soft)"),
    font_family="inherit",
    label_font_size=11,
    major_label_font_size=11,
    legend_font_size=12,
    title_font_size=12,
    value_font_size=11,
    value_colors=("var(--text)",) * 3,
    opacity="1",
)


def bars(
    name: str,
    values: Mapping[str, float | None],
    intervals: Mapping[str, Sequence[float] | None] | None = None,
) -> str:
    """A horizontal bar for each rate 0..1, the first at the top, with its interval.

    Args:
        name: of the chart, unique on its page.
        values: by label.
        intervals: lower and upper bounds by label.
    """
    bounds = intervals or {}
    chart = pygal.HorizontalBar(
        **_settings(height=_LINE * len(values) + 60, margin_right=14),
        range=(0, 1),
        show_legend=False,
        truncate_label=_LONGEST_NAME,
        spacing=4,
    )
    labels = list(values)[::-1]  # it draws upwards
    chart.x_labels = labels
    chart.add("", [_bar(values[label], bounds.get(label)) for label in labels])
    return _drawn(chart, name)


def lines(name: str, title: str, curves: Mapping[str, Mapping[str, float | None]]) -> str:
    """Curves of rates 0..1 over the same steps.

    Args:
        name: of the chart, unique on its page.
        title: of the steps.
        curves: their legends, and rates by step.
    """
    steps = sorted({step for curve in curves.values() for step in curve}, key=float)
    chart = pygal.Line(**_settings(height=260), range=(0, 1), x_title=title)
    chart.x_labels = steps
    for legend, curve in curves.items():
        chart.add(legend, [_point(curve.get(step)) for step in steps], allow_interruptions=False)
    return _drawn(chart, name)


def reliability(name: str, curve: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy over confidence, and where the two are the same.

    Args:
        name: of the chart, unique on its page.
        curve: rows of `calibration`.
    """
    chart = pygal.XY(
        **_settings(height=300),
        range=(0, 1),
        xrange=(0, 1),
        x_title="confidence",
        y_title="accuracy",
    )
    points = [(row["confidence"], row["accuracy"]) for row in curve if row["pixels"]]
    chart.add("model", [{"value": point, "label": _pair(point)} for point in points])
    chart.add("calibrated", [(0, 0), (1, 1)], show_dots=False, stroke_style={"dasharray": "4, 4"})
    return _drawn(chart, name)


def _settings(**settings: Any) -> dict[str, Any]:
    # Without its script, which it would load from a server.
    return dict(
        js=(),
        style=_STYLE,
        width=_WIDTH,
        disable_xml_declaration=True,
        legend_at_bottom=True,
        truncate_legend=-1,
        margin=6,
        show_x_guides=False,
        dots_size=3,
        **settings,
    )


def _drawn(chart: Any, name: str) -> str:
    chart.uuid = name  # the same page each time
    return _NEEDLESS.sub("", chart.render(is_unicode=True))


def _bar(value: float | None, interval: Sequence[float] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    bar: dict[str, Any] = {"value": value, "formatter": rate}
    if interval is not None:
        bar["ci"] = {"low": interval[0], "high": interval[1]}
    return bar


def _point(value: float | None) -> dict[str, Any] | None:
    return None if value is None else {"value": value, "formatter": rate}


def _pair(point: tuple[float, float]) -> str:
    return f"confidence {rate(point[0])}, accuracy {rate(point[1])}"
