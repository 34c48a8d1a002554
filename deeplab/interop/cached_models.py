"""Model folders that are made of a name: `SOURCE:NAME`, imported once and kept in the cache.

A folder is built under a temporary name beside its place and renamed. Whoever comes second
discards its own copy, so that no lock is needed. Nothing is written to a folder afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from deeplab import files
from deeplab import model_dir as model_dirs
from deeplab.errors import DeepLabError
from deeplab.interop.fetching import Fetched, NoNetworkError
from deeplab.interop.fetching.cache import models, require_writable
from deeplab.interop.file_records import digest, files_at, is_local, records
from deeplab.interop.import_model import REPORT_FILE, import_model
from deeplab.interop.sources import SOURCES, locate
from deeplab.models import DeepLabModel

# Changes whenever imports of the same files would make other folders.
_FORMAT = 1
_SIZES_FILE = "sizes.json"
_DIGITS = 16  # of a sum or revision, in the name of a folder


class Spec(NamedTuple):
    """The parts of `SOURCE:NAME`."""

    source: str
    name: str

    def __str__(self) -> str:
        """As it was written."""
        return f"{self.source}:{self.name}"

    @property
    def folder(self) -> Path:
        """Where the models of this name lie, one folder for each state of its files."""
        quoted = quote(self.name, safe="@")
        if quoted.startswith("."):
            quoted = f"%2E{quoted[1:]}"
        return models() / self.source / quoted


def parse_spec(text: str | os.PathLike[str]) -> Spec | None:
    """The parts of `SOURCE:NAME`; None for the path of a folder, which goes before a name."""
    source, colon, name = os.fspath(text).partition(":")
    if not colon or source not in SOURCES or os.path.exists(text):
        return None
    return Spec(source, name)


def model_folder(model_dir: str | os.PathLike[str]) -> str:
    """A folder with a model: the given one, or of `SOURCE:NAME` one in the cache.

    What was assumed of imported weights is printed in one line.

    Raises:
        DeepLabError: if the name cannot be fetched or imported, or the cache cannot be written.
    """
    spec = parse_spec(model_dir)
    if spec is None:
        return os.fspath(model_dir)
    if not spec.name or SOURCES[spec.source].fetch is None:
        names = ", ".join(source for source, row in SOURCES.items() if row.fetch)
        raise DeepLabError(
            f"{spec}: no weights have that name; SOURCE:NAME is for the sources {names}, and files "
            "become a model folder by `deeplab import`"
        )
    folder, remark = _folder_of(spec)
    print(f"{spec}: {'; '.join([*remark, *_assumptions(folder)])} ({folder})", flush=True)
    return str(folder)


def load_model(
    model_dir: str | os.PathLike[str],
    *,
    output_stride: int | None = None,
    checkpoint: str = "latest",
) -> DeepLabModel:
    """The trained or imported model of a folder, in float32.

    Where training kept a moving average of the weights, the model has the average.

    Args:
        model_dir: folder that training or an import made, or a `.keras` file; or SOURCE:NAME, such
            as "model_zoo:mobilenetv2_coco_voc_trainaug", which is imported into the cache.
        output_stride: 8, 16 or 32; None: as trained. The weights are the same at each.
        checkpoint: "latest", "best", or the prefix of a checkpoint.

    Returns:
        images float32 [B,H,W,3] (or `input_channels`), RGB, 0..255, to logits float32
        [B,H,W,num_classes].

    Raises:
        DeepLabError: if there is no model, no such checkpoint, or they do not belong together.
    """
    return model_dirs.load_model(
        model_folder(model_dir), output_stride=output_stride, checkpoint=checkpoint
    )


def _folder_of(spec: Spec) -> tuple[Path, tuple[str, ...]]:
    """The folder in the cache, and what is to be said of how it was chosen."""
    known = _newest(spec)
    moves = SOURCES[spec.source].moves
    if known is not None and not moves and not is_local(spec.name):
        return known, ()
    try:
        fetched = locate(spec.source, spec.name)
    except NoNetworkError as error:
        if known is None:
            raise
        return known, (f"as it was imported before, since {error.why}",)
    folder = spec.folder / f"{_key(fetched)[:_DIGITS]}-{_FORMAT}"
    if not _is_whole(folder):
        # How it was fetched this time is no note on the weights.
        _build(spec, fetched._replace(lines=()), folder)
    return folder, fetched.lines


def _key(fetched: Fetched) -> str:
    return fetched.revision or digest(records(files_at(fetched.path)))


def _newest(spec: Spec) -> Path | None:
    found = [folder for folder in spec.folder.glob(f"*-{_FORMAT}") if _is_whole(folder)]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def _build(spec: Spec, fetched: Fetched, folder: Path) -> None:
    """Imports what was fetched into a folder of the cache, unless somebody is faster."""
    made = files.missing_folders(spec.folder)
    require_writable(spec.folder)
    with _removed_if_empty(made), _temporary_beside(folder) as built, _same_random_numbers():
        import_model(
            source=spec.source,
            checkpoint=spec.name,
            model_dir=built,
            fetched=fetched,
            say=lambda line: None,
        )
        files.write_text(built / _SIZES_FILE, json.dumps(_sizes(built), indent=2) + "\n")
        with _temporary_beside(folder) as aside, contextlib.suppress(OSError):
            # A full folder is never replaced: then somebody else has been faster.
            with contextlib.suppress(OSError):
                os.rename(built, folder)
            if not _is_whole(folder):
                os.rename(folder, aside)  # damaged
                os.rename(built, folder)
    if not _is_whole(folder):
        raise DeepLabError(f"cannot write {folder}")


@contextlib.contextmanager
def _removed_if_empty(made: list[Path]) -> Iterator[None]:
    """After an error nothing is left of folders that were made."""
    try:
        yield
    except BaseException:
        files.remove_empty(made)
        raise


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    """What an import leaves fresh is the same on every machine: workers compare their weights.

    Initializers of Keras without a seed draw one from Python's generator, which is put back.
    """
    state = random.getstate()
    random.seed(0)
    try:
        yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def _temporary_beside(folder: Path) -> Iterator[Path]:
    """A name that nobody has, for a folder that is gone at the end unless it was renamed."""
    path = folder.with_name(f".{folder.name}.partial.{secrets.token_hex(8)}")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sizes(folder: Path) -> dict[str, int]:
    """Size of every file in a folder, by its path there, in bytes."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _SIZES_FILE
    }


def _is_whole(folder: Path) -> bool:
    """Whether all files that a folder was made with are there, in their sizes."""
    try:
        sizes = json.loads((folder / _SIZES_FILE).read_text(encoding="utf-8"))
        json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _assumptions(folder: Path) -> list[str]:
    """What the import found and assumed, but the flags that the file itself says."""
    report = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    return [note for note in report["notes"] if not note.startswith("found ")]
