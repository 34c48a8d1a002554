"""Writing files so that nobody ever sees half of one.

Everything is written under a temporary name in the folder of the target and renamed when it is
complete: a reader finds the old content or the new one, and a crash leaves the old one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deeplab.errors import DeepLabError

_PARTIAL = ".partial."
# Without the name of the target, which may be as long as the file system allows.
_TEMPORARY = f".deeplab{_PARTIAL}"


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives the name of a temporary file beside `path`, to be written, and renames it at the end.

    After an error nothing is left of it. Those of the operating system are taken for errors in
    writing: what else can fail inside raises others.

    Raises:
        DeepLabError: if the folder cannot be written.
    """
    target = Path(path)
    temporary = target.with_name(_unused())
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        _remove(temporary)
        raise DeepLabError(f"cannot write {target}: {error.strerror or error}") from error
    except BaseException:
        _remove(temporary)
        raise


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replaces the content of `path` atomically.

    Raises:
        DeepLabError: if the folder cannot be written.
    """
    with new_file(path) as temporary, temporary.open("xb") as file:
        file.write(data)
        file.flush()
        to_disk(file)


def to_disk(file: BinaryIO) -> None:
    """Waits until a file is on the disk, where the file system lets itself be asked for that."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the content of `path` by UTF-8 text, atomically.

    The bytes of a file name that is not UTF-8 become escapes, as JSON and Python read them.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Makes a folder and its parents; an existing one is fine.

    Raises:
        DeepLabError: if it cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeepLabError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DeepLabError(f"cannot write to the folder {folder}: permission denied")
    return folder


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes sure that a folder exists or can be made, and leaves nothing behind.

    A file is made in it and removed: permissions say nothing about read-only and full disks, or to
    root.

    Raises:
        DeepLabError: if it cannot be made or written to.
    """
    missing = missing_folders(folder)
    try:
        make_directory(folder)
        with tempfile.NamedTemporaryFile(prefix=".writable.", dir=folder) as file:
            file.write(b"?")
            file.flush()
    except OSError as error:
        raise DeepLabError(f"cannot write to the folder {folder}: {error.strerror}") from error
    finally:
        remove_empty(missing)


@contextlib.contextmanager
def new_directory(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder beside `target` and renames it to `target` at the end.

    An existing target is replaced as a whole. After an error nothing is left of the temporary
    folder, nor of parents that were made for it.

    Raises:
        DeepLabError: if the place cannot be written.
    """
    final = Path(target)
    made = missing_folders(final.parent)
    try:
        make_directory(final.parent)
        temporary = final.with_name(_unused())
        temporary.mkdir()
    except OSError as error:
        remove_empty(made)
        raise DeepLabError(f"cannot write {final}: {error.strerror}") from error
    try:
        yield temporary
        _replace_directory(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        remove_empty(made)
        raise


def _replace_directory(temporary: Path, final: Path) -> None:
    if not final.exists():
        os.rename(temporary, final)
        return
    # A full folder cannot be renamed over another: the old one steps aside first.
    aside = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=final.parent))
    os.rename(final, aside / "old")
    try:
        os.rename(temporary, final)
    except BaseException:
        os.rename(aside / "old", final)
        aside.rmdir()
        raise
    shutil.rmtree(aside)


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Removes the temporary files that `write_bytes` left in a folder when its process was killed.

    Only for a folder that nobody else writes to at the moment.
    """
    for path in Path(folder).glob(f".*{_PARTIAL}*"):
        _remove(path)


def missing_folders(path: str | os.PathLike[str]) -> list[Path]:
    """The folders of `path`, innermost first, that do not exist yet (for `remove_empty`)."""
    folder = Path(path).absolute()
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing


def remove_empty(folders: list[Path]) -> None:
    """Removes those of the folders that are empty, in the order given."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _unused() -> str:
    # The names of `tempfile` come with private files and folders, and what a run leaves is as
    # readable as any other file; not every file system lets their mode be changed.
    return f"{_TEMPORARY}{secrets.token_hex(8)}"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
