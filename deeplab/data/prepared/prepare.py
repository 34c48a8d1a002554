"""Preparing a data set: the records are written by TFDS, all of them or none."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab.data.builders.beam import beam_options, message_of
from deeplab.data.builders.folder import Folder
from deeplab.data.prepared.paths import is_remote
from deeplab.data.spec import DatasetSpec, is_prepared
from deeplab.errors import DeepLabError
from deeplab.files import make_directory, missing_folders, remove_empty
from deeplab.paths import is_pattern

# More pairs than this are not for the threads of one process.
MAX_PAIRS_WITHOUT_BEAM = 1_000_000

_SHOWN = 300  # characters of an error of TFDS


def prepare(
    spec: DatasetSpec,
    builder: tfds.core.DatasetBuilder,
    *,
    data_dir: str,
    source_dir: str | None,
    beam_flags: Sequence[str] | None,
) -> None:
    """Prepares a data set; after an error nothing is left of it.

    Args:
        spec: what it is.
        builder: its builder.
        data_dir: where records lie, absolute.
        source_dir: raw files, absolute.
        beam_flags: options of Apache Beam, which then makes the records; None: threads do.

    Raises:
        DeepLabError: if that fails, or Beam is needed and missing, or asked for without use.
    """
    if beam_flags is not None and is_pattern(data_dir):  # its writers would not find their files
        raise DeepLabError(
            f"Apache Beam cannot prepare a data set in {data_dir}: choose a --data_dir without any "
            "of * ? [ ] and the backslash"
        )
    options = _beam_options(spec, builder, beam_flags)
    is_local = not is_remote(data_dir)
    made = missing_folders(builder.data_path) if is_local else []
    try:
        if is_local:
            make_directory(data_dir)
        # What TFDS's own builders download and unpack is as large as the data set: it lies beside
        # it for that long. Ours have no use for the folder that TFDS makes all the same.
        beside = data_dir if is_local and spec.prepared_by_tfds else None
        with (
            quiet_tfds(),
            tempfile.TemporaryDirectory(prefix="downloads.", dir=beside) as downloads,
        ):
            builder.download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(
                    try_download_gcs=False,
                    manual_dir=source_dir if spec.prepared_by_tfds else None,
                    beam_options=options,
                ),
            )
    except BaseException as error:
        if isinstance(error, OSError) and is_prepared(builder):
            return  # another process was faster
        root = Path(data_dir, builder.name)
        if root in made:  # where TFDS notes the configurations of its own builders
            shutil.rmtree(root / ".config", ignore_errors=True)
        remove_empty(made)
        explained = _explained(error, spec, data_dir)
        if explained is not None:
            raise explained from error
        raise


def _beam_options(
    spec: DatasetSpec, builder: tfds.core.DatasetBuilder, flags: Sequence[str] | None
) -> Any:
    pairs = 0
    if isinstance(builder, Folder):
        pairs = sum(len(split) for split in builder.source.splits.values())
    if flags is None:
        if pairs > MAX_PAIRS_WITHOUT_BEAM:
            raise DeepLabError(
                f"the data set {spec.name!r} has {pairs:,} images, and more than "
                f"{MAX_PAIRS_WITHOUT_BEAM:,} are prepared by Apache Beam: pip install "
                "'deeplab[beam]' and deeplab dataset prepare --beam_options=--runner=DirectRunner"
            )
        return None
    if not isinstance(builder, Folder):
        raise DeepLabError(
            f"the data set {spec.name!r} is not made of a source folder by this package: it cannot "
            "be prepared with Apache Beam"
        )
    options = beam_options(flags)
    builder.on_beam = True
    return options


def _explained(error: BaseException, spec: DatasetSpec, data_dir: str) -> DeepLabError | None:
    """What the user should read instead of the error, None for the error itself."""
    if not isinstance(error, Exception):
        return None
    ours = message_of(error)
    if ours is not None or isinstance(error, DeepLabError):
        return ours
    if spec.prepared_by_tfds:  # whatever it fails on is a file or the network
        text = " ".join(str(error).split())
        short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
        return DeepLabError(
            f"TFDS cannot prepare the data set {spec.name!r} in {data_dir}: {short}; to have it: "
            f"{spec.how_to_get}"
        )
    reason = _disk_error(error)
    return DeepLabError(f"cannot prepare the data set in {data_dir}: {reason}") if reason else None


def _disk_error(error: BaseException | None) -> str | None:
    """What the file system said, if that is why; TFDS wraps the errors of TensorFlow's writer."""
    while isinstance(error, Exception) and not isinstance(error, DeepLabError):
        if isinstance(error, OSError):
            return str(error)
        if isinstance(error, tf.errors.OpError):
            return " ".join(error.message.split())
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS from printing, warning of custom configurations, and drawing bars into pipes.

    Beam logs the traceback of what it raises as well.
    """
    levels = {
        logging.getLogger("absl"): logging.ERROR,
        logging.getLogger("apache_beam"): logging.CRITICAL,
    }
    before = {logger: logger.level for logger in levels}
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        for logger, level in levels.items():
            logger.setLevel(level)
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
