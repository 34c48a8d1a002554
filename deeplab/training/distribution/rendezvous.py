"""How the workers of a job find each other before TensorFlow starts.

The chief listens at its own address of the cluster until every worker has come. Then it leaves the
port to TensorFlow's server, which is bound later; the connections stay and carry `Workers`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import threading
import time
from typing import Any

from deeplab.errors import DeepLabError
from deeplab.training.distribution.cluster import Cluster, split_address

_GREETING = "deeplab workers 1"
_ANSWER_SECONDS = 10.0
_PORT_SECONDS = 10.0  # an earlier run may still be leaving its port
_RETRY_SECONDS = 0.2
_MAX_GREETING = 1 << 20


class Connection:
    """Messages of one JSON line each over a socket."""

    def __init__(self, connected: socket.socket) -> None:
        """Takes over a socket."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._received = b""
        self._sending = threading.Lock()

    def send(self, message: Any) -> None:
        """Sends one message, from any thread; raises OSError if it cannot."""
        with self._sending:
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Any] | None:
        """The messages that a read completes, perhaps none; None: the other side has closed.

        Raises:
            OSError: if the connection broke.
            ValueError: if what came is no message.
        """
        data = self.socket.recv(1 << 16)
        if not data:
            return None
        *lines, self._received = (self._received + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def expect(self, seconds: float) -> Any:
        """Waits for the next message and leaves what follows it.

        Raises:
            OSError: if it does not come in time, is none, or the other side has closed.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received:
            if len(self._received) > _MAX_GREETING:
                raise ConnectionError("no message came")
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self.socket.recv(1 << 16)
            if not data:
                raise ConnectionError("the connection was closed")
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        try:
            return json.loads(line)
        except ValueError as error:
            raise ConnectionError("no message came") from error

    def close(self) -> None:
        """Closes the socket."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self.socket.close()


def meet(cluster: Cluster, seconds: float) -> dict[int, Connection]:
    """Waits until all workers are there.

    Args:
        cluster: as every one of them sees it.
        seconds: how long to wait.

    Returns:
        The chief's connections by worker; a worker's only one is to 0, the chief.

    Raises:
        DeepLabError: if one does not come in time, or does not belong to the job.
    """
    deadline = time.monotonic() + seconds
    with _own_port(cluster) as listener:
        if cluster.is_chief:
            return _receive_workers(cluster, listener, deadline, seconds)
    return {0: _find_chief(cluster, deadline, seconds)}


def _own_port(cluster: Cluster) -> socket.socket:
    """Listens at the port of this worker, which TensorFlow's server will take."""
    _, port = split_address(cluster.workers[cluster.index], "cluster")
    deadline = time.monotonic() + _PORT_SECONDS
    while True:
        try:
            if socket.has_dualstack_ipv6():
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
                )
            return socket.create_server(("", port), backlog=1024)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise DeepLabError(
                    f"{cluster.name(cluster.index)} cannot listen at its port: {error.strerror}"
                ) from error
            time.sleep(_RETRY_SECONDS)


def _receive_workers(
    cluster: Cluster, listener: socket.socket, deadline: float, seconds: float
) -> dict[int, Connection]:
    here: dict[int, Connection] = {}
    try:
        while len(here) < len(cluster.workers) - 1:
            listener.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                connection = Connection(listener.accept()[0])
            except TimeoutError as error:
                missing = [i for i in range(1, len(cluster.workers)) if i not in here]
                raise DeepLabError(
                    f"{', '.join(map(cluster.name, missing))} did not come within {seconds:g} s"
                ) from error
            index = _admit(cluster, connection, here)
            if index is None:
                connection.close()
            else:
                here[index] = connection
        for connection in here.values():
            connection.send("all are here")
    except BaseException as error:
        for connection in here.values():
            with contextlib.suppress(OSError):
                connection.send({"refused": str(error) or "the chief was stopped"})
            connection.close()
        raise
    return here


def _admit(cluster: Cluster, connection: Connection, here: dict[int, Connection]) -> int | None:
    """The number of a newcomer; None if it does not belong to the job."""
    try:
        said = connection.expect(_ANSWER_SECONDS)
        if not isinstance(said, dict) or said.get("greeting") != _GREETING:
            return None
        index, workers = said["index"], said["workers"]
        if workers != list(cluster.workers):
            ours, theirs = ", ".join(cluster.workers), ", ".join(workers)
            connection.send({"refused": f"the chief's cluster is {ours}, not {theirs}"})
            return None
        if index in here or index == cluster.index:
            connection.send({"refused": f"two processes say that they are {cluster.name(index)}"})
            return None
        connection.send("welcome")
    except OSError:
        return None
    return int(index)


def _find_chief(cluster: Cluster, deadline: float, seconds: float) -> Connection:
    problem = "no answer"
    while time.monotonic() < deadline:
        try:
            connection = _introduce_oneself(cluster)
        except OSError as error:
            # Nobody may listen yet, or something else: the end of an earlier run.
            problem = error.strerror or str(error)
            time.sleep(_RETRY_SECONDS)
            continue
        try:
            # The others may come as late as this one might have; the chief counts, and tells.
            _check_welcome(connection.expect(seconds + _ANSWER_SECONDS))
        except OSError as error:
            connection.close()
            raise DeepLabError(
                f"{cluster.name(0)} went away before all workers had come"
            ) from error
        except DeepLabError:
            connection.close()
            raise
        return connection
    raise DeepLabError(f"{cluster.name(0)} was not found within {seconds:g} s: {problem}")


def _introduce_oneself(cluster: Cluster) -> Connection:
    """A connection on which the chief has said welcome.

    Raises:
        OSError: if nobody, or not the chief, answers.
        DeepLabError: if it sends this worker away.
    """
    address = split_address(cluster.workers[0], "cluster")
    connection = Connection(socket.create_connection(address, timeout=_ANSWER_SECONDS))
    try:
        connection.send(
            {"greeting": _GREETING, "index": cluster.index, "workers": list(cluster.workers)}
        )
        _check_welcome(connection.expect(_ANSWER_SECONDS))
    except BaseException:
        connection.close()
        raise
    return connection


def _check_welcome(message: Any) -> None:
    if isinstance(message, dict) and "refused" in message:
        raise DeepLabError(str(message["refused"]))
