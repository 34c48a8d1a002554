"""Reports as one web page that needs nothing else: one style, pictures inside the page."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import io
from collections.abc import Mapping
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

_BASE = "page.html.jinja"


def render_page(package: str, name: str, values: Mapping[str, Any]) -> str:
    """The page as HTML.

    Args:
        package: where the template lies, such as "deeplab.evaluation".
        name: the template's file; it extends "page.html.jinja" and may include files beside it.
        values: what the template uses; "title" and "facts" (texts) are in every page.
    """

    def read(wanted: str) -> str:
        folder = importlib.resources.files("deeplab" if wanted == _BASE else package)
        return folder.joinpath(wanted).read_text("utf-8")

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.FunctionLoader(read),
    )
    return environment.get_template(name).render(values)


def lot(name: str) -> int:
    """A number drawn by a name: the pages of two runs that show the smallest show the same."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def thumbnail(
    longest_side: int, image: npt.NDArray[np.uint8], *masks: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], ...]:
    """Smaller copies of an image and its masks; those of ids by nearest neighbor.

    No class is invented by that. What is small already stays as it is.

    Args:
        longest_side: of the results, in pixels.
        image: [H, W, 3], RGB.
        *masks: [H, W].

    Returns:
        The image, then the masks.
    """
    height, width = image.shape[:2]
    factor = longest_side / max(height, width)
    if factor >= 1:
        return image, *masks
    size = max(1, round(height * factor)), max(1, round(width * factor))
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.intp)[:, None]
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.intp)
    small = Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX)
    return np.asarray(small), *(mask[rows, columns] for mask in masks)


def jpeg(image: npt.NDArray[np.uint8]) -> str:
    """A picture [H, W, 3] as the address of an <img>, with losses."""
    return _inline(image, "jpeg", quality=85)


def png(image: npt.NDArray[np.uint8]) -> str:
    """A picture [H, W, 3] or [H, W] as the address of an <img>, without losses."""
    return _inline(image, "png")


def css(color: tuple[int, int, int]) -> str:
    """A color for a style sheet."""
    return f"rgb({color[0]},{color[1]},{color[2]})"


def _inline(image: npt.NDArray[np.uint8], kind: str, **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
