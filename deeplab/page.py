"""Reports as one web page that needs nothing else: one style, pictures inside the page."""

from __future__ import annotations

import base64
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
        name: the template's file; it extends "page.html.jinja".
        values: what the template uses; "title" and "facts" (texts) are in every page.
    """
    texts = {
        _BASE: importlib.resources.files("deeplab").joinpath(_BASE),
        name: importlib.resources.files(package).joinpath(name),
    }
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.DictLoader({key: text.read_text("utf-8") for key, text in texts.items()}),
    )
    return environment.get_template(name).render(values)


def jpeg(image: npt.NDArray[np.uint8]) -> str:
    """A picture [H, W, 3] as the address of an <img>, with losses."""
    return _inline(image, "jpeg", quality=85)


def png(image: npt.NDArray[np.uint8]) -> str:
    """A picture [H, W, 3] as the address of an <img>, without losses."""
    return _inline(image, "png", optimize=True)


def css(color: tuple[int, int, int]) -> str:
    """A color for a style sheet."""
    return f"rgb({color[0]},{color[1]},{color[2]})"


def _inline(image: npt.NDArray[np.uint8], kind: str, **options: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
