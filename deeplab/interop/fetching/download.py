"""Downloads single files, so that a complete and checked one is there or none."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path

import rich.progress

from deeplab import files
from deeplab.errors import DeepLabError
from deeplab.interop.fetching.cache import downloads, require_writable

_SECONDS = 30.0  # without an answer
_CHUNK = 1 << 18
_SUM = ".sha256"


def fetch_file(server: str, name: str, *, source: str, md5: str | None = None) -> str:
    """A file of a server, downloaded unless it has been before.

    Where no sum is published the first download is trusted. Its SHA-256 is kept beside it, and what
    is used or downloaded later must have it.

    Args:
        server: the address below which the file lies.
        name: its path there.
        source: a source of `deeplab import`, for the folder and for messages.
        md5: its published MD5 sum.

    Returns:
        Its path in the cache.

    Raises:
        DeepLabError: if it cannot be downloaded, or is not what it should be. The message says
            which file to fetch by hand.
    """
    url = f"{server.rstrip('/')}/{name}"
    folder = downloads() / source
    path = folder / Path(name).name
    if path.is_file() and _is_as_known(path, path, md5):
        return str(path)
    made = files.missing_folders(folder)
    require_writable(folder)
    temporary = path.with_name(f".{path.name}.partial.{secrets.token_hex(8)}")
    by_hand = (
        f"fetch {url} by hand and pass it: deeplab import --source={source} "
        f"--checkpoint={path.name}"
    )
    print(f"downloading {url}", flush=True)
    try:
        try:
            _download(url, temporary, path.name)
        except _Failure as error:
            raise DeepLabError(f"cannot download {path.name}: {error}; {by_hand}") from error
        except OSError as error:
            raise DeepLabError(f"cannot write {path}: {error.strerror}") from error
        if not _is_as_known(temporary, path, md5):
            raise DeepLabError(_other_sum(path, url, md5))
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        files.remove_empty(made)
    return str(path)


def _is_as_known(file: Path, path: Path, md5: str | None) -> bool:
    """Whether a file has its sum: the published one, or that of the first download of `path`."""
    import pooch

    if md5 is not None:
        return str(pooch.file_hash(str(file), alg="md5")) == md5
    found = str(pooch.file_hash(str(file), alg="sha256"))
    kept = path.with_name(path.name + _SUM)
    try:
        return kept.read_text(encoding="ascii").split()[0] == found
    except FileNotFoundError:
        files.write_text(kept, f"{found}  {path.name}\n")  # as sha256sum writes and checks it
        return True
    except (OSError, ValueError, IndexError):
        return False


def _other_sum(path: Path, url: str, md5: str | None) -> str:
    if md5 is not None:
        return f"what {url} gave has not the published MD5 sum {md5}: it is damaged or another file"
    return (
        f"what {url} gave is not what was downloaded first: its SHA-256 is another than in "
        f"{path}{_SUM}; remove that file if the new one is to be trusted"
    )


class _Failure(Exception):
    """Why a download failed."""


class _Bar:
    """Counts the bytes for pooch, and shows them on a terminal."""

    def __init__(self, name: str) -> None:
        self.total = 0  # pooch sets it when the server has said it; 0: it did not
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.DownloadColumn(),
            rich.progress.TransferSpeedColumn(),
            disable=not sys.stdout.isatty(),
        )
        self._task = self._progress.add_task(name, total=None)
        self._progress.start()

    def update(self, count: int) -> None:
        self._progress.update(self._task, total=self.total or None, advance=count)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()


def _download(url: str, path: Path, name: str) -> None:
    """Writes what an address gives to a file; `name` is for the bar.

    Raises:
        _Failure: if it gives nothing, or not all.
        OSError: if it cannot be written.
    """
    import pooch
    import requests

    bar = _Bar(name)
    # Not packed once more for the way, so that the length is that of the file.
    headers = {"Accept-Encoding": "identity"}
    download = pooch.HTTPDownloader(
        progressbar=bar, chunk_size=_CHUNK, timeout=_SECONDS, headers=headers
    )
    try:
        download(url, str(path), None)
    except requests.HTTPError as error:
        raise _Failure(f"the server answers {_brief(error)}") from error
    except requests.Timeout as error:
        raise _Failure(f"no answer from the server for {_SECONDS:g} s") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise _Failure("the connection broke before the end") from error
    except requests.ConnectionError as error:
        raise _Failure("there is no connection to the server") from error
    except (requests.RequestException, ValueError) as error:
        raise _Failure(_brief(error)) from error
    finally:
        bar.close()
    size = path.stat().st_size
    if bar.total and size != bar.total:
        raise _Failure(f"{size:,} bytes came instead of {bar.total:,}")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())
