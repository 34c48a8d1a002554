"""Repositories of the Hugging Face Hub, through its own library and cache.

The library is an extra: only who names a repository needs it. HF_HUB_OFFLINE, HF_ENDPOINT, HF_HOME
and the other variables of the library are its own.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from deeplab.errors import DeepLabError
from deeplab.interop.fetching.fetched import Fetched, NoNetworkError

_SECONDS = 10.0  # for an answer about a repository
_OWNER_OF_TIMM = "timm/"
# Repositories on the paper's page that are none of weights.
_WITHOUT_WEIGHTS = {
    "kadirnar/timm_model_list": "a list of the names of models, without any weights",
}


class _Files(NamedTuple):
    """Which files of a repository are wanted.

    Attributes:
        patterns: of their names.
        weights: of those that must be there.
        instead: of weights that are wanted where there are none of the first kind.
    """

    patterns: tuple[str, ...]
    weights: tuple[str, ...]
    instead: tuple[str, ...] = ()

    def chosen(self, names: Iterable[str]) -> list[str]:
        """The wanted ones among the files of a repository; [] if there are no weights."""
        names = list(names)
        for weights in (self.weights, self.instead):
            if _matching(names, weights):
                return _matching(names, (*self.patterns, *weights))
        return []


_TORCH = _Files(
    patterns=("config.json", "preprocessor_config.json", "*.safetensors.index.json"),
    weights=("*.safetensors",),
    # Of those made before safetensors.
    instead=("pytorch_model*.bin", "pytorch_model*.bin.index.json"),
)
_KERAS = _Files(
    patterns=("config.json", "variables/*"),
    weights=("saved_model.pb", "*.h5"),
)


def fetch_torch(name: str) -> Fetched:
    """The files of weights that PyTorch made: safetensors, or else pytorch_model.bin.

    Args:
        name: OWNER/NAME, with @REVISION (a branch, tag or commit) or without.

    Raises:
        NoNetworkError: if the Hub cannot be reached, and the files are in no cache.
        DeepLabError: if there is no such repository or revision, it has no such files, they cannot
            be downloaded, or the library is not installed.
    """
    return _fetch(name, _TORCH)


def fetch_timm(name: str) -> Fetched:
    """`fetch_torch`, where a NAME without an owner is timm/NAME."""
    return fetch_torch(name if "/" in name else _OWNER_OF_TIMM + name)


def fetch_keras(name: str) -> Fetched:
    """The files of a Keras model: a SavedModel with its variables, or HDF5; see `fetch_torch`."""
    return _fetch(name, _KERAS)


def _fetch(name: str, files: _Files) -> Fetched:
    repository, _, revision = name.partition("@")
    if why := _WITHOUT_WEIGHTS.get(repository.lower()):
        raise DeepLabError(f"{repository} is {why}; name one of the models in it")
    if repository.count("/") != 1:
        raise DeepLabError(
            f"{name} does not exist, and is no repository of the Hugging Face Hub, OWNER/NAME or "
            "OWNER/NAME@REVISION"
        )
    hub = _library()
    with _quiet(hub):
        try:
            info = hub.model_info(repository, revision=revision or None, timeout=_SECONDS)
        except hub.errors.RevisionNotFoundError as error:
            raise DeepLabError(f"{repository} on the Hub has no revision {revision!r}") from error
        except hub.errors.RepositoryNotFoundError as error:
            raise DeepLabError(
                f"there is no public repository {repository} on the Hugging Face Hub"
            ) from error
        except hub.errors.HFValidationError as error:
            raise DeepLabError(f"{name} is no id of a repository: {_brief(error)}") from error
        except Exception as error:  # of whatever it speaks HTTP with, which has changed before
            return _from_cache(hub, repository, revision, files, error)
        names = [file.rfilename for file in info.siblings or ()]
        return _download(hub, repository, revision, files, names)


def _download(
    hub: ModuleType, repository: str, revision: str, files: _Files, names: Sequence[str]
) -> Fetched:
    """The wanted ones of the files that a repository has; the library's cache may hold them."""
    chosen = files.chosen(names)
    if not chosen:
        raise DeepLabError(
            f"{repository} on the Hub holds none of {', '.join(files.weights + files.instead)}"
        )
    try:
        # By the name of the revision, which the library's cache remembers for times without a
        # network; the folder is called like the commit.
        folder = hub.snapshot_download(
            repository,
            revision=revision or None,
            allow_patterns=list(map(glob.escape, chosen)),
        )
    except Exception as error:  # likewise
        raise DeepLabError(
            f"cannot download {repository} ({_brief(error)}); fetch {', '.join(chosen)} from "
            f"{_address(hub, repository, revision)} by hand and pass their folder: "
            "--checkpoint=FOLDER"
        ) from error
    commit = Path(folder).name
    return Fetched(folder, commit, (f"{repository} of the Hugging Face Hub at {commit}",))


def _from_cache(
    hub: ModuleType, repository: str, revision: str, files: _Files, error: Exception
) -> Fetched:
    """What the library's cache holds of a repository."""
    offline = isinstance(error, hub.errors.OfflineModeIsEnabled)
    why = "HF_HUB_OFFLINE is set" if offline else f"the Hub cannot be reached: {_brief(error)}"
    try:
        # No pattern: the library would miss what was not wanted when it was downloaded.
        folder = hub.snapshot_download(
            repository, revision=revision or None, local_files_only=True, allow_patterns=[]
        )
        held = files.chosen(_names_in(folder))
    except OSError:
        held = []
    if not held:
        raise NoNetworkError(
            f"cannot download {repository} ({why}); fetch the files "
            f"{', '.join(files.weights + files.instead)} and config.json from "
            f"{_address(hub, repository, revision)} by hand and pass their folder: "
            "--checkpoint=FOLDER",
            why,
        ) from error
    commit = Path(folder).name
    line = f"{repository} of the Hugging Face Hub at {commit}, as it was downloaded before ({why})"
    return Fetched(folder, commit, (line,))


def _library() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise DeepLabError(
            "repositories of the Hugging Face Hub need its library: pip install 'deeplab[hub]'"
        ) from error
    return huggingface_hub


@contextlib.contextmanager
def _quiet(hub: ModuleType) -> Iterator[None]:
    """No log lines, and bars on a terminal alone."""
    logger = logging.getLogger("huggingface_hub")
    level, bars = logger.level, not hub.utils.are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if bars and not sys.stderr.isatty():
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            hub.utils.enable_progress_bars()


def _address(hub: ModuleType, repository: str, revision: str) -> str:
    return f"{hub.constants.ENDPOINT}/{repository}/tree/{revision or 'main'}"


def _names_in(folder: str) -> list[str]:
    found = (os.path.relpath(file, folder) for file in Path(folder).rglob("*") if file.is_file())
    return sorted(name.replace(os.sep, "/") for name in found)


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Names that fit a pattern of as many folders."""
    return [
        name
        for name in names
        if any(
            fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")
            for pattern in patterns
        )
    ]


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[0].split())[:200] if lines else type(error).__name__
