"""A bucket of Google Cloud Storage on this machine, as TensorFlow's own client of gs:// sees it.

libcurl inside TensorFlow takes a proxy and a certificate from the environment. The proxy here
answers every connection itself, with as much of the JSON API of Cloud Storage as that client uses.
It runs as a process of its own, for which this module is one that does not import TensorFlow.
"""

from __future__ import annotations

import http.server
import json
import re
import socketserver
import ssl
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

READ_ONLY = "read-only"
_HOSTS = ("www.googleapis.com", "storage.googleapis.com")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context: ssl.SSLContext
    objects: dict[str, bytes]
    uploads: dict[str, tuple[str, bytearray]]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)

    def _answer(self, code: int, content: bytes | dict[str, Any] = b"", **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _handle(self) -> None:
        body = self._body()
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        path = url.path
        if path.startswith("/upload/storage/v1/"):
            self._upload(path.split("/")[5], query, body)
        elif match := re.fullmatch(r"/storage/v1/b/[^/]+/o/([^/]+)/rewriteTo/b/[^/]+/o/(.+)", path):
            source, target = map(urllib.parse.unquote, match.groups())
            self.server.objects[target] = self.server.objects[source]
            self._answer(200, {"done": True})
        elif match := re.fullmatch(r"/storage/v1/b/[^/]+/o/(.+)", path):
            self._object(urllib.parse.unquote(match.group(1)))
        elif re.fullmatch(r"/storage/v1/b/[^/]+/o/?", path):
            self._answer(200, self._listing(query))
        elif path.endswith("/storageLayout"):
            self._answer(200, {"hierarchicalNamespace": {"enabled": False}})
        elif re.fullmatch(r"/storage/v1/b/[^/]+", path):
            self._answer(200, {"kind": "storage#bucket", "location": "here"})
        else:
            self._read(urllib.parse.unquote(path.split("/", 2)[2]))

    do_GET = do_POST = do_PUT = do_DELETE = _handle

    def _object(self, name: str) -> None:
        objects = self.server.objects
        if name not in objects:
            self._answer(404)
        elif self.command == "DELETE":
            del objects[name]
            self._answer(204)
        else:
            self._answer(
                200,
                {
                    "size": str(len(objects[name])),
                    "generation": "1",
                    "updated": "2026-01-01T00:00:00.000Z",
                },
            )

    def _listing(self, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, prefixes = [], {}
        for name in sorted(self.server.objects):
            if name.startswith(prefix):
                head, found, _ = name[len(prefix) :].partition(delimiter or "\0")
                if found and delimiter:
                    prefixes[prefix + head + delimiter] = None
                else:
                    items.append({"name": name})
        limit = int(query.get("maxResults", 10**6))
        answer: dict[str, Any] = {"items": items[:limit], "prefixes": list(prefixes)[:limit]}
        return {key: value for key, value in answer.items() if value}

    def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> None:
        objects, uploads = self.server.objects, self.server.uploads
        if "upload_id" in query:
            name, data = uploads[query["upload_id"]]
            data += body
            objects[name] = bytes(data)
            self._answer(200, {"name": name})
        elif bucket == READ_ONLY:
            self._answer(403, {"error": {"message": "no permission"}})
        elif query.get("uploadType") == "resumable":
            session = str(len(uploads))
            uploads[session] = (query["name"], bytearray())
            place = f"https://{_HOSTS[0]}/upload/storage/v1/b/{bucket}/o?upload_id={session}"
            self._answer(200, Location=place)
        else:
            objects[query["name"]] = body
            self._answer(200, {"name": query["name"]})

    def _read(self, name: str) -> None:
        content = self.server.objects.get(name)
        if content is None:
            self._answer(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (0, len(content)) if match is None else map(int, match.groups())
        if first >= len(content) > 0 or not content:
            self._answer(416)
        else:
            self._answer(206, content[first : last + 1])


@contextmanager
def fake_bucket(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes gs://bucket a bucket in memory, empty at first, and gs://read-only one for reading.

    Args:
        folder: for the key of the server.
        monkeypatch: sets the environment.
    """
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ",".join(f"DNS:{host}" for host in _HOSTS)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        + ["-subj", "/CN=fake", "-addext", f"subjectAltName={names}"]
        + ["-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    # A process of its own: TensorFlow holds Python's lock while it waits for some of the answers.
    command = [sys.executable, __file__, str(certificate), str(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for name in ("https_proxy", "HTTPS_PROXY"):
                monkeypatch.setenv(name, address)
            for name in ("no_proxy", "NO_PROXY", "GOOGLE_APPLICATION_CREDENTIALS"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("CURL_CA_BUNDLE", str(certificate))
            monkeypatch.setenv("NO_GCE_CHECK", "true")  # nobody is asked for credentials
            yield
        finally:
            server.kill()


def _serve(certificate: str, key: str) -> None:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.objects, server.uploads = {}, {}
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(certificate, key)
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
