"""The command `deeplab`: finds the command, reads its flags, and turns errors into exit codes.

Exit codes: 0 success; 1 bad content (files, settings, values) or a failure; 2 a bad command line;
130 after Ctrl-C; 143 after SIGTERM. Only the standard library and absl are imported here, so that
`--help` answers at once; each command imports what it needs when it runs.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType

import deeplab
from deeplab.cli import dataset, doctor, evaluate, export, import_, info, predict, train
from deeplab.cli.command import Command, UsageError
from deeplab.errors import DeepLabError, Terminated

COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        train.COMMAND,
        evaluate.COMMAND,
        predict.COMMAND,
        export.COMMAND,
        import_.COMMAND,
        dataset.PREPARE,
        dataset.CHECK,
        dataset.STATS,
        info.COMMAND,
        doctor.COMMAND,
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        arguments: the words after `deeplab`; those of the process by default.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # A name that the terminal cannot show must not end the work, as it would under a locale that is
    # not UTF-8. Python's standard error does the same by itself.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _main(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of our output left (`deeplab ... | head`). Python flushes stdout once more at
        # exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _main(words: list[str]) -> int:
    verbose = False
    try:
        if not words:
            raise UsageError(f"no command; choices: {', '.join(COMMANDS)} (deeplab --help)")
        if words[0] in ("--help", "-h", "--helpfull", "help"):
            print(_help(COMMANDS))
            return 0
        if words[0] == "--version":
            print(f"deeplab {deeplab.__version__}")
            return 0
        group = {name: c for name, c in COMMANDS.items() if name.split()[0] == words[0]}
        if words[0] not in group and group and _asks_for_help(words[1:2]):
            print(_help(group))
            return 0
        command, rest = _find(words)
        if _asks_for_help(rest):
            print(command.help())
            return 0
        values = command.parse(rest)
        verbose = values.v > 0
        with _sigterm_raises():
            return command.run(values)
    except UsageError as error:
        return _fail(2, str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except Terminated:
        return _fail(143, "terminated")
    except BrokenPipeError:
        raise
    except Exception as error:
        if verbose:
            traceback.print_exc()
        return _fail(1, _one_line(error))


def _find(words: list[str]) -> tuple[Command, list[str]]:
    for count in (2, 1):
        command = COMMANDS.get(" ".join(words[:count]))
        if command is not None:
            return command, words[count:]
    given = words[0]
    followers = [name for name in COMMANDS if name.split()[0] == given]
    if followers:
        if not words[1:] or words[1].startswith("-"):
            raise UsageError(f"{given!r} alone is no command; choices: {', '.join(followers)}")
        given = " ".join(words[:2])
    near = difflib.get_close_matches(given, list(COMMANDS), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    kind = "flag" if given.startswith("-") else "command"
    raise UsageError(f"unknown {kind} {given!r}{hint} choices: {', '.join(followers or COMMANDS)}")


def _asks_for_help(words: Sequence[str]) -> bool:
    return any(word in ("--help", "-h", "-help", "--helpfull") for word in words)


def _help(commands: dict[str, Command]) -> str:
    column = max(len(name) for name in commands) + 4
    lines = ["usage: deeplab COMMAND [flags]", ""]
    lines += ["DeepLabv3+ semantic segmentation: train, evaluate, predict, export.", ""]
    lines += [f"  {name}".ljust(column) + command.summary for name, command in commands.items()]
    lines += ["", "`deeplab COMMAND --help` lists the flags of a command and gives an example,"]
    lines += ["`deeplab --version` says which version this is."]
    lines += ["", "example:", f"  {next(iter(commands.values())).example}"]
    return "\n".join(lines)


def _fail(code: int, message: str) -> int:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    print(f"deeplab: {message}", file=sys.stderr)
    return code


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, DeepLabError | OSError):
        return text
    # Nobody foresaw this one: its class helps to find it.
    return f"{type(error).__name__}: {text[:500]} (--v=1 shows the traceback)"


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM becomes an exception, so that a training run saves before it ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_terminated(number: int, frame: FrameType | None) -> None:
        # A second one must not interrupt what the first one started.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    previous = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
