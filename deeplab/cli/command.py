"""What a command is, and how its flags are read and its help is written.

absl's own `app.run` ends with 1 on `--help` and on every mistake, and keeps all flags of a process
in one place, where two commands cannot both have `--model_dir`. So each command lists its flags,
and a `flags.FlagValues` of its own is made of copies of them each time it is read.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags


class UsageError(Exception):
    """A bad command line. The message is the one line that the user sees; the exit code is 2."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of `deeplab`.

    Attributes:
        name: the word or words that call it, such as "dataset prepare".
        summary: one sentence for the list of commands.
        example: a complete command line.
        own_flags: its flags with their defaults; they stay as they are.
        run: does the work; the result is the exit code.
        required: flags without which the command line is bad.
    """

    name: str
    summary: str
    example: str
    own_flags: tuple[flags.Flag[Any], ...]
    run: Callable[[flags.FlagValues], int]
    required: tuple[str, ...] = ()

    def flag_values(self) -> flags.FlagValues:
        """The command's flags with their defaults, not yet read from a command line."""
        values = flags.FlagValues()
        for flag in self.own_flags:
            values[flag.name] = copy.deepcopy(flag)
        flags.DEFINE_integer(
            "v", 0, "1 shows tracebacks and the messages of the libraries", flag_values=values
        )
        return values

    def parse(self, arguments: Sequence[str]) -> flags.FlagValues:
        """Reads the words after the command's name.

        Raises:
            UsageError: for an unknown flag, a value of the wrong type or not among the choices, an
                empty value, a missing flag, or a word that is no flag.
        """
        values = self.flag_values()
        try:
            surplus = values([self.name, *arguments])[1:]
        except flags.UnrecognizedFlagError as error:
            near = difflib.get_close_matches(error.flagname, list(values), n=1)
            hint = f"; did you mean '--{near[0]}'?" if near else ""
            raise self._error(f"unknown flag '--{error.flagname}'{hint}") from error
        except flags.IllegalFlagValueError as error:
            raise self._error(_bad_value(str(error), values)) from error
        except flags.Error as error:
            raise self._error(" ".join(str(error).split()).lower()) from error
        if surplus:
            raise self._error(f"unexpected argument {surplus[0]!r}")
        for name in values:
            value = values[name].value
            if value == "" or (isinstance(value, list) and "" in value):
                raise self._error(f"flag --{name} is empty")
        for name in self.required:
            if not values[name].value:
                raise self._error(f"missing flag --{name}")
        return values

    def help(self) -> str:
        """The text of `--help`: the command's own flags and an example."""
        values = self.flag_values()
        usage = " ".join(f"--{name}=..." for name in self.required)
        lines = [f"usage: deeplab {self.name} {usage} [flags]".replace("  ", " "), ""]
        lines += [self.summary, ""]
        names = {name: _spelling(values[name]) for name in values}
        column = max(len(spelling) for spelling in names.values()) + 4
        width = max(shutil.get_terminal_size((100, 24)).columns, column + 30)
        for name, spelling in names.items():
            text = textwrap.wrap(_description(values[name]), min(width, 100) - column)
            lines.append(f"  {spelling}".ljust(column) + text[0])
            lines += [" " * column + line for line in text[1:]]
        lines += ["", "example:", textwrap.indent(self.example, "  ")]
        return "\n".join(lines)

    def _error(self, message: str) -> UsageError:
        return UsageError(f"{message} (deeplab {self.name} --help lists the flags)")


def _spelling(flag: flags.Flag) -> str:
    return f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"


def _description(flag: flags.Flag) -> str:
    # absl puts the choices before the text and an advice behind it.
    text = re.sub(r"^<.*?>: |;\s+repeat this option to specify a list of values$", "", flag.help)
    remarks = []
    if isinstance(flag.parser, flags.EnumParser):
        remarks.append(f"one of {', '.join(flag.parser.enum_values)}")
    if isinstance(flag, flags.MultiFlag):
        remarks.append("repeatable")
    if flag.default not in (None, [], False):
        values = flag.default if isinstance(flag.default, list) else [flag.default]
        remarks.append(f"default {', '.join(map(str, values))}")
    return text + (f" ({'; '.join(remarks)})" if remarks else "")


def bad_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """The message for a value that is not among a flag's choices, with the nearest of them."""
    near = difflib.get_close_matches(value, choices, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"flag --{name}={value}: {hint}choices: {', '.join(choices)}"


def _bad_value(message: str, values: flags.FlagValues) -> str:
    """Says in one form what absl says in another for each type of flag."""
    match = re.match(r"flag --(\w+)=(.*?): ", message)
    if match is None:
        return " ".join(message.split())
    name, value = match.groups()
    flag = values[name]
    if isinstance(flag.parser, flags.EnumParser):
        return bad_choice(name, value, flag.parser.enum_values)
    if not isinstance(flag.parser, flags.IntegerParser | flags.BooleanParser):
        return " ".join(message.split())
    expected = "true or false" if flag.boolean else "a whole number"
    return f"flag --{name}={value}: expected {expected}"
