"""Archives as the original's model zoo has them, and a server of them."""

from __future__ import annotations

import contextlib
import http.server
import io
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from original_files import write_checkpoint

from deeplab.interop.model_zoo import ROWS
from deeplab.interop.tf1.names import original_names
from deeplab.interop.tf1.network import network_config, read_network_flags
from deeplab.models import ModelConfig, build_model, variables_by_path


def row_config(name: str) -> ModelConfig:
    """The network that the flags of a row describe."""
    return network_config(read_network_flags(ROWS[name].flags).network)


def write_archive(folder: Path, name: str, *, inside: str | None = None) -> Path:
    """Writes the archive of a model of the zoo, with fresh weights.

    Args:
        folder: where.
        name: of the model.
        inside: the name of the folder in it; None: made of the archive's.
    """
    archive = folder / ROWS[name].archive
    with tempfile.TemporaryDirectory() as place:
        model = build_model(row_config(name))
        variables = variables_by_path(model)
        values = {name: variables[path].numpy() for path, name in original_names(model).items()}
        write_checkpoint(Path(place, "model.ckpt-30000"), values)
        members = {path.name: path.read_bytes() for path in sorted(Path(place).iterdir())}
    # Never read: there is a checkpoint.
    members["frozen_inference_graph.pb"] = b"graph"
    inside = next(iter(ROWS[name].folders)) if inside is None else inside
    write_tar(archive, {f"{inside}/{member}": data for member, data in members.items()})
    return archive


def write_tar(
    archive: Path, members: Mapping[str, bytes], *others: tarfile.TarInfo, mode: str = "w:gz"
) -> Path:
    """Writes an archive of files, with other members behind them."""
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in others:
            tar.addfile(info)
    return archive


class Server:
    """What a server gives, and what it was asked.

    Attributes:
        url: its address.
        files: content by path.
        cut: paths whose connection breaks in the middle.
        asked: the paths that were asked for, in order.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files: dict[str, Path] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            file = server.files.get(self.path)
            if file is None:
                self.send_error(404)
                return
            size = file.stat().st_size
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            with file.open("rb") as source:
                if self.path in server.cut:
                    self.wfile.write(source.read(size // 2))
                else:
                    shutil.copyfileobj(source, self.wfile)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        server = Server(f"http://127.0.0.1:{httpd.server_address[1]}/")
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()
