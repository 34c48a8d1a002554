"""Fetches archives of the model zoo from the original's server."""

from __future__ import annotations

import os

from deeplab.errors import DeepLabError, unknown_name
from deeplab.interop.fetching import Fetched, fetch_file
from deeplab.interop.model_zoo.rows import ROWS, SUFFIX

_VARIABLE = "DEEPLAB_ZOO_URL"
_SERVER = "http://download.tensorflow.org/models/"


def fetch(name: str) -> Fetched:
    """Downloads the archive of a model, unless it has been before.

    No sums are published: the first download is trusted, and its own sum kept.

    Args:
        name: a key of `ROWS`.

    Raises:
        DeepLabError: for another name, or if it cannot be downloaded.
    """
    if name.endswith(SUFFIX) or os.sep in name:
        raise DeepLabError(
            f"{name} does not exist; a model is downloaded by its name: {', '.join(ROWS)}"
        )
    if name not in ROWS:
        raise unknown_name("model of the zoo", name, ROWS)
    server = os.environ.get(_VARIABLE) or _SERVER
    row = ROWS[name]
    return Fetched(fetch_file(server, row.archive, source="model_zoo"))
