"""Where downloads and imported models are kept: $DEEPLAB_CACHE, else the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from deeplab.errors import DeepLabError
from deeplab.files import check_writable, make_directory
from deeplab.paths import expand_home

VARIABLE = "DEEPLAB_CACHE"


def cache_root() -> Path:
    """The folder; it need not exist.

    Raises:
        DeepLabError: if the variable begins with the home folder of nobody.
    """
    told = os.environ.get(VARIABLE)
    return Path(expand_home(told) if told else platformdirs.user_cache_dir("deeplab")).absolute()


def downloads() -> Path:
    """Where files from servers are kept."""
    return cache_root() / "downloads"


def models() -> Path:
    """Where model folders that were made of them are kept."""
    return cache_root() / "models"


def require_writable(folder: Path) -> None:
    """Makes a folder of the cache, and sure that it can be written.

    The folder stays: another process may be about to use it.

    Raises:
        DeepLabError: if not; the message says how to choose another place.
    """
    try:
        check_writable(make_directory(folder))
    except DeepLabError as error:
        raise DeepLabError(f"{error}; {VARIABLE}=FOLDER chooses another cache") from error
