"""The workers of a running job: agreeing, stopping together, and noticing that one is gone.

TensorFlow moves tensors between workers, and tells of a lost one by an error in the operation that
waits for it, not always with its name. So the workers keep a connection of their own to the chief.
A worker whose connection breaks or falls silent is lost; the chief tells the others which one it
was, and all of them end.

Measured with TensorFlow 2.21, three processes on loopback that sum over replicas in a loop
(MultiWorkerMirroredStrategy on CPUs); what the others saw:

- kill -9 of a worker or of the chief: `UnavailableError`, "Connection reset by peer", after 0.2 s;
  exit code 1 after 5 to 6 s, since TensorFlow's servers wait for each other.
- SIGSTOP of a worker: `UnavailableError` after 9 s, the missing heartbeats of its task; of the
  chief: `DeadlineExceededError` of an RPC after 11 s, which names nobody. End after 12 to 18 s.
  `CommunicationOptions(timeout_seconds=10)` changed nothing; a shorter time for heartbeats can be
  set by private functions only.
- SIGTERM to a worker: nothing, for two minutes: TensorFlow takes the signal and tells nobody. Under
  a `PreemptionCheckpointHandler` all left at one step within 1 s, with exit code 42 and a
  checkpoint of its own format; it must run every step, and does not know Ctrl-C or evaluations.
- A worker that never comes: the others waited without a word, for more than six minutes.

Nothing of this works before TensorFlow has connected, while a worker prepares data, or when it
fails by itself. TensorFlow's cluster resolvers do not replace `cluster.py`: that of TF_CONFIG
checks nothing, that of Slurm has a fixed port and sets CUDA_VISIBLE_DEVICES, that of Kubernetes
needs a client and rights to list pods.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, TypeVar

import tensorflow as tf

from deeplab.errors import DeepLabError, Terminated
from deeplab.training.distribution.cluster import Cluster
from deeplab.training.distribution.ending import (
    as_error,
    end_process,
    exit_code,
    exit_without_waiting,
)
from deeplab.training.distribution.rendezvous import Connection, meet

START_SECONDS = 300.0
_SILENCE_SECONDS = 30.0
_SIGN_OF_LIFE_SECONDS = 2.0
_GRACE_SECONDS = 3.0
_TICK_SECONDS = 0.2

Result = TypeVar("Result")

_END = "the end"

# What the exit codes of a worker that leaves mean for the others.
_LEFT = {130: "was interrupted", 143: "was terminated"}


@contextlib.contextmanager
def join(cluster: Cluster | None) -> Iterator[Workers]:
    """Waits for all workers at the rendezvous; a process without a cluster waits for nobody.

    After an error of a job of several workers the process ends without waiting for TensorFlow's
    servers.

    Raises:
        DeepLabError: if not all of them come.
    """
    if cluster is None:
        yield Workers()
        return
    seconds = start_seconds()
    if cluster.is_chief:
        print(f"waiting for {len(cluster.workers) - 1} other workers", flush=True)
    try:
        with Workers(cluster, meet(cluster, seconds)) as workers:
            yield workers
    except BaseException as error:
        exit_without_waiting(error)
        raise


def start_seconds() -> float:
    """How long workers wait for each other at the start: $DEEPLAB_START_SECONDS, else 300.

    Raises:
        DeepLabError: if that is not a positive number.
    """
    text = os.environ.get("DEEPLAB_START_SECONDS", str(START_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise DeepLabError(f"DEEPLAB_START_SECONDS={text} is not a positive number")
    return seconds


class Workers:
    """This process' part in the job. A context: leaving it tells the others why.

    Attributes:
        cluster: who there is; None if this process trains alone.
        is_chief: whether this process writes and prints.
        stop_signal: the number of a signal that some worker has received, else None.
    """

    def __init__(
        self,
        cluster: Cluster | None = None,
        connections: Mapping[int, Connection] | None = None,
        *,
        silence_seconds: float = _SILENCE_SECONDS,
        grace_seconds: float = _GRACE_SECONDS,
        end: Callable[[int, str], None] = end_process,
    ) -> None:
        """Starts watching the connections.

        Args:
            cluster: who there is; None: nobody else.
            connections: as `meet` returns them.
            silence_seconds: how long a worker may give no sign of life.
            grace_seconds: how long the main thread may take to leave by itself when the job ends.
            end: ends the process with an exit code and a last line.
        """
        self.cluster = cluster
        self.is_chief = cluster is None or cluster.is_chief
        self.stop_signal: int | None = None
        self._told_signal: int | None = None
        self._connections = dict(connections or {})
        self._silence_seconds = silence_seconds
        self._grace_seconds = grace_seconds
        self._end = end
        self._changed = threading.Condition()
        self._values: dict[int, list[Any]] = {index: [] for index in self._connections}
        self._verdict: tuple[int, str] | None = None
        self._left = not self._connections
        self._heard = dict.fromkeys(self._connections, time.monotonic())
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)
        if self._connections:
            self._thread.start()

    @property
    def name(self) -> str:
        """How messages name this worker."""
        return "" if self.cluster is None else self.cluster.name(self.index)

    @property
    def count(self) -> int:
        """How many workers there are."""
        return 1 if self.cluster is None else len(self.cluster.workers)

    @property
    def index(self) -> int:
        """Which of them this process is."""
        return 0 if self.cluster is None else self.cluster.index

    def combine(self, what: str, value: Any, function: Callable[[list[Any]], Any]) -> Any:
        """Gives all workers one result of the values that each of them brings.

        Every worker must call this with the same `what`.

        Args:
            what: what the values are, to find out if workers are at different places.
            value: of this worker, plain JSON.
            function: the values in order of the workers -> the result, plain JSON; called by the
                chief alone. If it raises, the job ends.

        Raises:
            DeepLabError: if the job ends meanwhile, or the workers bring different things.
            Terminated: if it ends because a worker was told to.
        """
        if not self._connections:
            return function([value])
        if not self.is_chief:
            self._send_all({"what": what, "value": value})
            return self._next_value(0, what)
        own = json.loads(json.dumps(value))  # in the form in which those of the others come
        values = [own] + [self._next_value(index, what) for index in sorted(self._connections)]
        result = function(values)
        self._send_all({"what": what, "value": result})
        return result

    def wait(self, what: str) -> None:
        """Waits until all workers are at this place."""
        self.combine(what, None, lambda values: None)

    def chief_first(self, what: str, work: Callable[[], Result]) -> Result:
        """Does something at the chief, then at the others, who find it done.

        Machines with disks of their own then do it each for themselves.

        Raises:
            DeepLabError: as `work` does, on all workers.
        """
        if not self.is_chief:
            self.wait(what)
            return work()
        result = work()
        self.wait(what)
        return result

    @contextlib.contextmanager
    def only_chief_prints(self) -> Iterator[None]:
        """Drops what the other workers would print as well."""
        if self.is_chief:
            yield
            return
        with (
            open(os.devnull, "w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            yield

    def agree_to_stop(self, step: int) -> int | None:
        """The signal for which all workers stop at this step, if any of them has received one."""
        return self.combine(
            f"step {step}",
            self.stop_signal,
            lambda signals: max((number for number in signals if number), default=None),
        )

    def finish(self) -> None:
        """Waits for all workers; from then on they may go at any time."""
        if not self._connections or self._left:
            return
        last = {"what": _END, "value": None}
        if not self.is_chief:
            self._send_all(last)
        for index in sorted(self._connections):
            self._next_value(index, _END)
        self._leave(last if self.is_chief else None)

    @contextlib.contextmanager
    def signals_noted(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C are noted for `agree_to_stop` instead of stopping this worker alone.

        Without other workers they do what they always do.
        """
        if not self._connections or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            self.stop_signal = number

        numbers = (signal.SIGTERM, signal.SIGINT)
        previous = [signal.signal(number, note) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, previous, strict=True):
                signal.signal(number, handler)

    @contextlib.contextmanager
    def limit(self, seconds: float, what: str) -> Iterator[None]:
        """Ends the job with the message `what` if the context lasts longer."""
        if not self._connections:
            yield
            return
        line = f"{self.name}: {what} within {seconds:g} s"
        timer = threading.Timer(seconds, self._decide, args=(1, line))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def __enter__(self) -> Workers:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leaves the job; an error becomes the reason that ended the job, if there is one.

        Raises:
            DeepLabError: for what happened to another worker.
        """
        if error is None:
            self.finish()
            return
        if self._left:
            return
        if isinstance(error, tf.errors.OpError):
            # TensorFlow may know of a lost worker before the connection does, not which one.
            with self._changed:
                self._changed.wait_for(lambda: self._verdict, self._silence_seconds + 1)
        verdict = self._verdict
        code = exit_code(error)
        self._leave({"code": code, "reason": " ".join(str(error).split())[:1000]})
        if verdict is not None and not isinstance(error, Terminated | KeyboardInterrupt):
            raise as_error(*verdict) from error

    def _leave(self, message: Any) -> None:
        """Stops watching, says why, and closes."""
        with self._changed:
            self._left = True
        if message is not None:
            self._send_all(message)
        for connection in self._connections.values():
            connection.close()

    def _send_all(self, message: Any) -> None:
        """To all others at the chief, to the chief at the others."""
        for index, connection in self._connections.items():
            try:
                connection.send(message)
            except OSError as error:
                self._lose(index, f"its connection broke: {error.strerror or error}")

    def _next_value(self, index: int, what: str) -> Any:
        with self._changed:
            # Short waits: Python delivers signals only between them.
            while not self._values[index]:
                if self._verdict is not None:
                    raise as_error(*self._verdict)
                self._changed.wait(_TICK_SECONDS)
            message = self._values[index].pop(0)
        if message["what"] != what:
            raise DeepLabError(
                f"the workers are at different places: {what!r} and {message['what']!r}"
            )
        return message["value"]

    def _watch(self) -> None:
        """The thread: receives, gives signs of life, and misses those of others."""
        with selectors.DefaultSelector() as selector:
            for index, connection in self._connections.items():
                connection.socket.settimeout(self._silence_seconds)
                selector.register(connection.socket, selectors.EVENT_READ, index)
            told = 0.0
            while not self._left and self._verdict is None:
                try:
                    ready = selector.select(_TICK_SECONDS)
                except (OSError, ValueError):
                    return  # the main thread has closed the connections
                for key, _ in ready:
                    self._receive(key.data)
                self._pass_on_signal()
                now = time.monotonic()
                if now - told > _SIGN_OF_LIFE_SECONDS:
                    told = now
                    self._send_all({})
                for index, heard in self._heard.items():
                    if now - heard > self._silence_seconds:
                        self._lose(index, f"no sign of life for {self._silence_seconds:g} s")
        if self._verdict is not None and not self._left:
            self._end_soon(*self._verdict)

    def _receive(self, index: int) -> None:
        how, messages = "its connection was closed", None
        try:
            messages = self._connections[index].receive()
        except (OSError, ValueError) as error:
            how = f"its connection broke: {error}"
        if messages is None:
            self._lose(index, how)
            return
        self._heard[index] = time.monotonic()
        for message in messages:
            if "value" in message:
                with self._changed:
                    if message["what"] == _END and not self.is_chief:
                        self._left = True
                    self._values[index].append(message)
                    self._changed.notify_all()
            elif "signal" in message:
                self.stop_signal = self.stop_signal or message["signal"]
            elif "code" in message:
                self._decide(message["code"], self._reason(index, message))

    def _reason(self, index: int, message: Mapping[str, Any]) -> str:
        if "line" in message:
            return str(message["line"])  # the chief has worded it
        assert self.cluster is not None
        name = self.cluster.name(index)
        left = _LEFT.get(message["code"])
        return f"{name} {left}" if left else f"{name} failed: {message['reason']}"

    def _pass_on_signal(self) -> None:
        """Tells the others of a signal, so that long work ends early on all of them."""
        if self.stop_signal is not None and self.stop_signal != self._told_signal:
            self._told_signal = self.stop_signal
            self._send_all({"signal": self.stop_signal})

    def _lose(self, index: int, how: str) -> None:
        assert self.cluster is not None
        self._decide(
            1,
            f"lost {self.cluster.name(index)}: {how}; the same commands resume from the last "
            "checkpoint",
        )

    def _decide(self, code: int, line: str) -> None:
        """Ends the job; the first reason counts."""
        with self._changed:
            if self._verdict is not None or self._left:
                return
            self._verdict = (code, line)
            self._changed.notify_all()
        self._send_all({"code": code, "line": line})

    def _end_soon(self, code: int, line: str) -> None:
        deadline = time.monotonic() + self._grace_seconds
        while time.monotonic() < deadline:
            if self._left:
                return
            time.sleep(_TICK_SECONDS / 4)
        self._end(code, line)
