"""A server that answers like the Hugging Face Hub, as far as its library asks."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import NamedTuple

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "f" * 40


class Repository(NamedTuple):
    """What a repository holds.

    Attributes:
        files: content by name.
        revisions: commits by branch, tag or commit.
        cut: a file whose connection always breaks in the middle.
        longer: a file of which more is announced than it has.
    """

    files: dict[str, bytes]
    revisions: dict[str, str] = {"main": COMMIT, COMMIT: COMMIT}
    cut: str = ""
    longer: str = ""


class Hub:
    """The server.

    Attributes:
        url: its address.
        repositories: by id.
        given: the files that were sent, as ID/NAME.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.repositories: dict[str, Repository] = {}
        self.given: list[str] = []


@contextlib.contextmanager
def fake_hub() -> Iterator[Hub]:
    """A Hub on this machine."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path):
                self._describe(*match.groups())
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._give(*match.groups())
            else:
                self._refuse("EntryNotFound")

        def _describe(self, name: str, what: str | None, revision: str | None) -> None:
            repository = hub.repositories.get(name)
            if repository is None:
                self._refuse("RepoNotFound")
                return
            commit = repository.revisions.get(revision or "main")
            if commit is None:
                self._refuse("RevisionNotFound")
            elif what == "tree":
                files = repository.files.items()
                self._json(
                    [{"type": "file", "path": n, "size": len(d), "oid": _sum(d)} for n, d in files]
                )
            else:
                siblings = [{"rfilename": file} for file in repository.files]
                self._json({"id": name, "sha": commit, "siblings": siblings, "tags": []})

        def _give(self, name: str, revision: str, file: str) -> None:
            repository = hub.repositories[name]
            data = repository.files[file]
            self.send_response(200)
            self.send_header("X-Repo-Commit", repository.revisions[revision])
            self.send_header("ETag", f'"{_sum(data)}"')
            self.send_header("Content-Length", str(len(data) + 10 * (file == repository.longer)))
            self.end_headers()
            if self.command == "HEAD":
                return
            hub.given.append(f"{name}/{file}")
            if file == repository.cut:
                data = data[: len(data) // 2]
            self.wfile.write(data)
            if file in (repository.cut, repository.longer):
                self.close_connection = True

        def _json(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.daemon_threads = True
        hub = Hub(f"http://127.0.0.1:{httpd.server_address[1]}")
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            httpd.shutdown()
            thread.join()


def _sum(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
