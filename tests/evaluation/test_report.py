"""The table on the terminal and the web page."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from html_page import Page

from deeplab.data.colors import IGNORE_COLOR, color_image, error_image, overlay
from deeplab.evaluation.examples import ExampleCollector, Scored
from deeplab.evaluation.metrics import Tally, summarize
from deeplab.evaluation.plan import result_name
from deeplab.evaluation.report import render_report
from deeplab.evaluation.table import render_table

FACTS: dict[str, Any] = {
    "checkpoint_step": 900,
    "output_stride": 16,
    "eval_scales": [0.5, 1.0],
    "flip": True,
    "dataset": "shapes",
    "split": "validation",
    "window": None,
}


def evaluation(names: list[str], size: tuple[int, int] = (30, 40)) -> tuple[dict, ExampleCollector]:
    """Metrics and examples of random labels, of which a third is predicted wrong."""
    generator = np.random.default_rng(0)
    tally = Tally(len(names), 255)
    examples = ExampleCollector(worst=2, random=3)
    for index in range(8):
        labels = generator.integers(0, len(names), size)
        wrong = generator.integers(0, len(names), size)
        predictions = np.where(generator.random(size) < 0.3, wrong, labels)
        labels[:2] = 255
        image = generator.integers(0, 256, (*size, 3), np.uint8)
        name = f"street <{index}>"
        counts = tally.add(name, labels, predictions)
        examples.add(Scored(name, image, labels, predictions, counts))
    return summarize(tally, names) | FACTS, examples


def colors_of(names: list[str]) -> list[tuple[int, int, int]]:
    return [(i % 256, 255 - i % 256, 128) for i in range(len(names))]


NAMES = ["sky", "a <b>bold</b> & very long name of a class that no table has room for", "[red]"]


def test_table_fits_80_columns_and_is_plain_text():
    metrics, _ = evaluation(NAMES)
    table = render_table(metrics)
    assert max(map(len, table.splitlines())) <= 80
    assert "\x1b" not in table
    lines = table.splitlines()
    assert re.search(r"^ *0 +sky +0\.\d{4} +0\.\d{4} +\d+\.\d\d %$", lines[2])
    assert "a <b>bold</b> & very long name of a" in lines[3] and "…" in lines[3]
    assert "[red]" in lines[4]
    assert f"mIoU {metrics['miou']:.4f}" in table
    assert f"3 px {metrics['boundary_iou']['3']:.4f}" in table


def test_table_has_a_line_per_class_and_dashes_for_what_is_unknown():
    tally = Tally(151, 255)
    tally.add("x", np.zeros((2, 2), int), np.zeros((2, 2), int))
    metrics = summarize(tally, [f"class {i}" for i in range(151)]) | FACTS
    lines = render_table(metrics).splitlines()
    assert re.search(r"^ *0 +class 0 +1\.0000 +1\.0000 +100\.00 %$", lines[2])
    assert re.search(r"^ *150 +class 150 +- +- +0\.00 %$", lines[152])
    assert "1 px -" in lines[-1]


def test_report_is_one_complete_page_that_loads_nothing():
    metrics, examples = evaluation(NAMES)
    html = render_report(
        metrics, examples, title="run: x", class_colors=colors_of(NAMES), ignore_label=255
    )
    page = Page(html)
    assert page.num_pictures == 4 * (2 + 3)
    text = page.text
    assert f"{metrics['miou']:.4f}" in text
    assert NAMES[1] in text and examples.worst[0].image_id in text  # escaped in the source
    assert "checkpoint of step 900" in text and "scales 0.5, 1 and mirrored" in text


def test_report_draws_the_confusion_of_many_classes():
    names = [f"class {i}" for i in range(151)]
    metrics, examples = evaluation(names)
    html = render_report(
        metrics, examples, title="x", class_colors=colors_of(names), ignore_label=255
    )
    assert Page(html).num_pictures == 4 * 5 + 1
    assert len(html) < 1_000_000


def test_report_of_nothing_labeled():
    tally = Tally(2, 255)
    tally.add("x", np.full((2, 2), 255), np.zeros((2, 2), int))
    html = render_report(
        summarize(tally, ["a", "b"]) | FACTS,
        ExampleCollector(),
        title="x",
        class_colors=colors_of(["a", "b"]),
        ignore_label=255,
    )
    assert Page(html).num_pictures == 0
    assert "nan" not in html


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"eval_scales": [1.0], "flip": False}, "shapes-validation"),
        ({}, "shapes-validation-ms-flip"),
        ({"output_stride": 8, "flip": False}, "shapes-validation-os8-ms"),
        ({"dataset": None, "split": None}, "images-ms-flip"),
    ],
)
def test_names_of_results(facts: dict[str, Any], name: str):
    assert result_name(FACTS | facts, trained_stride=16) == name


def test_colors():
    colors = [(0, 0, 0), (200, 100, 50)]
    ids = np.array([[0, 1, 255]])
    assert color_image(ids, colors, 255).tolist() == [[[0, 0, 0], [200, 100, 50], [*IGNORE_COLOR]]]


def test_overlay_blends_half_and_half_and_outlines_in_white():
    image = np.full((3, 5, 3), 101, np.uint8)
    ids = np.ones((3, 5), int)
    ids[:, 3:] = 0
    blended = overlay(image, ids, [(0, 0, 0), (200, 100, 50)])
    assert (blended[:, :2] == (151, 101, 76)).all()
    assert (blended[:, 2] == 255).all()
    assert (blended[:, 3:] == 51).all()


def test_errors_are_red_and_ignored_pixels_gray():
    image = np.zeros((1, 3, 3), np.uint8)
    errors = error_image(image, np.array([[0, 1, 255]]), np.array([[0, 0, 0]]), 255)
    assert errors.tolist() == [[[160, 160, 160], [214, 39, 40], [120, 120, 120]]]
