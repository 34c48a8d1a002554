"""The table on the terminal and the web page."""

from __future__ import annotations

import base64
import io
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from browser import chromium
from html_page import Page
from PIL import Image
from scored_images import random_images

from deeplab.data.colors import IGNORE_COLOR, color_image, error_image, overlay
from deeplab.evaluation.examples import ExampleCollector
from deeplab.evaluation.labeled_images import LabeledImages
from deeplab.evaluation.measure import measure
from deeplab.evaluation.metrics import Tally, summarize
from deeplab.evaluation.plan import Asked, result_name
from deeplab.evaluation.report import render_report
from deeplab.evaluation.table import render_table
from deeplab.runtimes.predictor import Predictor

FACTS: dict[str, Any] = {
    "checkpoint_step": 900,
    "output_stride": 16,
    "eval_scales": [0.5, 1.0],
    "flip": True,
    "dataset": "shapes",
    "split": "validation",
    "window": None,
}


def evaluation(
    names: list[str], size: tuple[int, int] = (30, 40), count: int = 8, **asked: Any
) -> tuple[dict, ExampleCollector]:
    """Metrics and examples of random labels, of which a third is predicted wrong."""
    generator = np.random.default_rng(0)
    batches = []
    for index in range(count):
        blocks = generator.integers(0, len(names), (-(-size[0] // 5), -(-size[1] // 5)))
        labels = blocks.repeat(5, 0).repeat(5, 1)[: size[0], : size[1]]
        wrong = generator.integers(0, len(names), size)
        predictions = np.where(generator.random(size) < 0.3, wrong, labels)
        labels[:2] = 255
        rows = size[0] - index % 3
        labels, predictions = labels[:rows], predictions[:rows]
        image = generator.integers(0, 256, (*labels.shape, 3))
        image[..., 0] = predictions  # where the network below finds them
        batches.append(
            {
                "image": tf.constant(image[None], tf.float32),
                "label": tf.constant(labels[None], tf.int32),
                "id": tf.constant([f"street <{index}>"]),
            }
        )

    def probabilities(images: Any) -> np.ndarray:
        return 0.9 * np.eye(len(names))[np.asarray(images, int)[..., 0]] + 0.1 / len(names)

    network = Predictor(lambda images: np.asarray(images, int)[..., 0], probabilities)
    measured = measure(
        network,
        LabeledImages(batches, count, 255),
        names,
        Asked(**asked),
        progress=False,
    )
    return measured.metrics | FACTS, measured.examples


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


def page_of(metrics: dict, examples: ExampleCollector, title: str = "x") -> str:
    colors = colors_of(list(metrics["per_class_iou"]))
    return render_report(metrics, examples, title=title, class_colors=colors, ignore_label=255)


def test_report_is_one_complete_page_that_loads_nothing():
    metrics, examples = evaluation(NAMES)
    html = page_of(metrics, examples)
    page = Page(html, has_script=True)
    assert page.num_pictures == 2 * 8  # label and prediction; photographs are in the style
    text = page.text
    assert f"{metrics['miou']:.4f}" in text
    assert NAMES[1] in text  # escaped in the source
    assert all(f"street <{index}> · mIoU" in text for index in range(8))
    assert "checkpoint of step 900" in text and "scales 0.5, 1 and mirrored" in text
    low, high = metrics["intervals"]["miou"]
    assert f"95 % interval {low:.4f} to {high:.4f}" in text
    assert page_of(metrics, examples) == html


def test_every_chart_is_a_table_too():
    metrics, examples = evaluation(
        NAMES, calibration=True, group_by="([0-4])", merge_classes={"united": NAMES[:2]}
    )
    html = page_of(metrics, examples)
    Page(html, has_script=True)
    charts = re.findall(r"<h2>([^<]*)</h2>\n<p>[^<]*</p>\n<figure class=\"chart\"", html)
    assert charts == [
        "Classes",
        "At the boundaries",
        "Calibration",
        "By image size",
        "By group",
        "Merged classes",
    ]
    tables = re.findall(r"<summary>(.*) as a table</summary>\s*<div[^>]*><table", html)
    assert tables == charts
    for value in (
        *metrics["boundary_iou"].values(),
        metrics["by_group"]["other"]["miou"],
        metrics["merged"]["per_class_iou"]["united"],
        metrics["calibration"]["ece"],
        *(row["accuracy"] for row in metrics["calibration"]["curve"] if row["pixels"]),
    ):
        assert f"{value:.4f}" in html


def test_of_many_groups_the_lowest_are_shown():
    metrics, examples = evaluation(NAMES, count=70, group_by=r"\d+")
    assert len(metrics["by_group"]) == 70
    scores = {name: row["miou"] for name, row in metrics["by_group"].items()}
    html = page_of(metrics, examples)
    assert "The 60 lowest of 70." in html
    first, *_, last = sorted(scores, key=lambda name: scores[name])
    rows = re.findall(r'<th scope="row">([^<]*)</th><td>1</td>', html)
    assert len(rows) == 60 and rows[0] == first and last not in rows
    table = render_table(metrics)
    assert max(map(len, table.splitlines())) <= 80
    assert f"by group, mIoU (lowest of 70)  {first} {scores[first]:.4f}" in " ".join(
        table.split("\n")
    )


def test_report_draws_the_confusion_of_many_classes():
    names = [f"class {i}" for i in range(151)]
    metrics, examples = evaluation(names)
    html = page_of(metrics, examples)
    Page(html, has_script=True)
    assert len(html) < 3_000_000
    row = metrics["confusion_matrix"][7]
    hints = re.findall(r'title="class 7 taken for (class \d+): (\d+) pixels"', html)
    assert hints == [(f"class {index}", str(count)) for index, count in enumerate(row) if count]


def test_36_images_of_noise_are_below_10_megabytes():
    images = random_images(40, 20, size=lambda index: (320, 320))
    metrics, _ = evaluation([f"class {i}" for i in range(20)])
    examples = ExampleCollector()
    for image in images:
        examples.add(image)
    html = page_of(metrics, examples)
    assert Page(html, has_script=True).num_pictures == 2 * 36
    assert len(html) < 10_000_000


def test_ids_beyond_a_byte_are_low_and_high_byte():
    names = [f"class {i}" for i in range(300)]
    metrics, examples = evaluation(names)
    html = render_report(
        metrics, examples, title="x", class_colors=colors_of(names), ignore_label=65535
    )
    picture = re.search(r'class="prediction" alt="" src="data:image/png;base64,([^"]*)"', html)
    assert picture is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.group(1)))), int)
    predictions = next(itertools.chain(*examples.ranked)).predictions
    assert np.array_equal(pixels[..., 0] + 256 * pixels[..., 1], predictions)


def test_report_of_nothing_labeled():
    tally = Tally(2, 255)
    tally.add("x", np.full((2, 2), 255), np.zeros((2, 2), int))
    html = page_of(summarize(tally, ["a", "b"]) | FACTS, ExampleCollector())
    assert Page(html).num_pictures == 0
    assert "nan" not in html


OPAQUE = """
return [...document.querySelectorAll('canvas')].map(canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const colors = {};
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] !== 255) continue;
    const color = [data[i], data[i + 1], data[i + 2]].join(' ');
    colors[color] = (colors[color] || 0) + 1;
  }
  return [canvas.className, colors];
})"""


def counts_by_color(ids: np.ndarray, shown: set[int]) -> dict[str, int]:
    colors = {**dict(enumerate(colors_of(NAMES))), 255: IGNORE_COLOR}
    return {
        " ".join(map(str, colors[int(id_)])): int((ids == id_).sum())
        for id_ in np.unique(ids)
        if id_ in shown
    }


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path: Path):
    metrics, examples = evaluation(NAMES, calibration=True)
    path = tmp_path / "report.html"
    path.write_text(page_of(metrics, examples), "utf-8")
    images = list(itertools.chain(*examples.ranked))
    with chromium() as browser:
        browser.do("/url", url=path.as_uri())

        def painted(shown: set[int]) -> None:
            """Waits, and compares every canvas with the arrays."""
            browser.wait(
                f"return document.body.dataset.painted === '{' '.join(map(str, sorted(shown)))}'"
            )
            found = browser.run(OPAQUE)
            assert len(found) == 3 * len(images)
            for image, canvases in zip(images, zip(*[iter(found)] * 3, strict=True), strict=True):
                labels, predictions = image.labels, image.predictions
                wrong = (labels != predictions) & (labels != 255)
                wrong &= np.isin(labels, list(shown)) | np.isin(predictions, list(shown))
                errors = {"230 30 30": int(wrong.sum())} if wrong.any() else {}
                assert canvases[0] == ["label", counts_by_color(labels, shown)]
                assert canvases[1] == ["prediction", counts_by_color(predictions, shown)]
                void = counts_by_color(np.where(labels == 255, 255, -1), shown)
                assert canvases[2] == ["errors", errors | void]

        painted({0, 1, 2, 255})
        browser.run("document.querySelector('input[value=\"1\"]').click()")
        painted({0, 2, 255})
        browser.run("document.getElementById('none').click()")
        painted(set())
        browser.run("document.getElementById('all').click()")
        painted({0, 1, 2, 255})
        browser.run(
            "const slider = document.getElementById('opacity'); slider.value = '0.25';"
            "slider.dispatchEvent(new Event('input'))"
        )
        opacity = "return getComputedStyle(document.querySelector('canvas')).opacity"
        assert browser.run(opacity) == "0.25"
        # A box is reached and turned by the keyboard alone.
        browser.run("document.querySelector('input[value=\"2\"]').focus()")
        browser.press(" ")
        painted({0, 1, 255})
        places = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert [place for place in places if not place.startswith("data:")] == []
        for width in (390, 1100):
            browser.resize(width, 800)
            assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.errors() == []


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
