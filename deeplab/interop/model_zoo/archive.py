"""Opens an archive of the zoo: looks at every member, and unpacks the weights alone."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
import tempfile
import weakref
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from deeplab.errors import DeepLabError
from deeplab.interop.model_zoo.rows import SUFFIX

# The largest of the zoo has half a gigabyte; a small file can claim any size.
_LARGEST = 4 * 2**30
_CHUNK = 1 << 20
_GRAPH = ".pb"
_INDEX = ".index"


class Unpacked:
    """A temporary folder with the weights of an archive; it goes with this object.

    Attributes:
        folder: the folder.
        weights: the prefix of the checkpoint in it, or the frozen graph.
    """

    def __init__(self, archive: str) -> None:
        """Unpacks the checkpoint of an archive, or its frozen graph where it has none.

        Raises:
            DeepLabError: if the archive is cut short or damaged, if one of its members is a link, a
                device or would lie outside its folder, if it holds no weights or several, or if
                there is no room for them.
        """
        try:
            self.folder = tempfile.mkdtemp(prefix="deeplab.")
        except OSError as error:
            raise DeepLabError(f"cannot unpack {archive}: {error.strerror}") from error
        # Also at the end of the process: variables are read when they are assigned.
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        with _opened(archive) as tar:
            names = _members_of_weights(_checked_members(tar, archive), archive)
            for name in names:
                _unpack(tar, name, Path(self.folder), archive)
        self.weights = os.path.join(self.folder, PurePosixPath(names[0]).name).removesuffix(_INDEX)


@contextlib.contextmanager
def _opened(archive: str) -> Iterator[tarfile.TarFile]:
    """An archive; what is wrong with it is one line."""
    try:
        with gzip.open(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except (EOFError, tarfile.TarError, zlib.error, gzip.BadGzipFile) as error:
        raise DeepLabError(
            f"{archive} is cut short or damaged, or no {SUFFIX} archive ({error}): fetch it again"
        ) from error
    except OSError as error:
        raise DeepLabError(f"{archive} cannot be unpacked: {error.strerror}") from error


def _checked_members(tar: tarfile.TarFile, archive: str) -> list[tarfile.TarInfo]:
    """All members, none of which may be dangerous, in an archive that is whole."""
    members = []
    size = 0
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise _refused(archive, member, "would lie outside the folder")
        if not (member.isdir() or member.isreg()) or member.issparse():
            raise _refused(archive, member, "is neither a file nor a folder")
        size += member.size
        if size > _LARGEST:
            raise _refused(archive, member, f"makes it larger than {_LARGEST // 2**30} GB")
        members.append(member)
    # tarfile stops at a header that it cannot read; the sum of gzip stands at the end.
    while tar.fileobj is not None and tar.fileobj.read(_CHUNK):
        pass
    return members


def _refused(archive: str, member: tarfile.TarInfo, why: str) -> DeepLabError:
    return DeepLabError(
        f"{archive}: the member {member.name!r} {why}, which none of the zoo's does: the archive "
        "is refused"
    )


def _members_of_weights(members: Sequence[tarfile.TarInfo], archive: str) -> list[str]:
    """Names of the files of the checkpoint, its index first, or of the graph."""
    # Mac OS adds a file ._NAME for each.
    names = [m.name for m in members if m.isreg() and not _last(m.name).startswith("._")]
    if indices := [name for name in names if name.endswith(_INDEX)]:
        index = _only(indices, "checkpoints", archive)
        data = index.removesuffix(_INDEX) + ".data-"
        found = [index, *(name for name in names if name.startswith(data))]
    else:
        found = [_only([n for n in names if n.endswith(_GRAPH)], "frozen graphs", archive)]
    for name in found:
        if names.count(name) > 1:
            raise DeepLabError(f"{archive} holds {name} twice")
    return found


def _only(names: Sequence[str], kind: str, archive: str) -> str:
    if not names:
        raise DeepLabError(
            f"{archive} holds neither a checkpoint (*{_INDEX}) nor a frozen graph (*{_GRAPH})"
        )
    if len(set(names)) > 1:
        raise DeepLabError(
            f"{archive} holds several {kind}: {', '.join(names)}; unpack it, and import one with "
            "--source=tf1"
        )
    return names[0]


def _last(name: str) -> str:
    return PurePosixPath(name).name


def _unpack(tar: tarfile.TarFile, name: str, folder: Path, archive: str) -> None:
    """Writes a member into a folder, whatever folders it has in the archive."""
    member = tar.getmember(name)
    if hasattr(tarfile, "data_filter"):  # since Python 3.11.4; a second look at the member
        tarfile.data_filter(member, str(folder))
    source = tar.extractfile(member)
    assert source is not None  # of a file
    target = folder / _last(name)
    try:
        with target.open("xb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        raise DeepLabError(f"cannot unpack {archive} to {folder}: {error.strerror}") from error
    if target.stat().st_size != member.size:
        raise DeepLabError(f"{archive}: {name} is cut short: fetch it again")
