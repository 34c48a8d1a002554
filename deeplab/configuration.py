"""gin: which settings a configuration may bind, how it is read, and what is saved of it.

The only module that imports gin. The library takes plain dataclasses; they are registered here by
statement, which leaves them untouched for everybody else, and this list is all that gin can reach.

gin reports mistakes over several lines and lets some pass (a misspelt macro, a scope that nobody
enters, a value of the wrong type), so the statements of a file are bound one by one here, and every
mistake becomes a `DeepLabError` that says where it is and what was probably meant. Types and values
are checked by the dataclasses themselves.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import gin
from gin import config_parser

import deeplab
from deeplab import checks
from deeplab.data import DATASETS, AugmentConfig, DataConfig
from deeplab.data.files.text import read_text
from deeplab.errors import DeepLabError, unknown_name
from deeplab.models import ModelConfig, QuantConfig
from deeplab.training.config import OptimizerConfig, ScheduleConfig, TrainConfig
from deeplab.training.losses import LossConfig

CONFIGURABLES: dict[str, type] = {
    configurable.__name__: configurable
    for configurable in (
        TrainConfig,
        ModelConfig,
        QuantConfig,
        DataConfig,
        LossConfig,
        AugmentConfig,
        OptimizerConfig,
        ScheduleConfig,
    )
}
for _configurable in CONFIGURABLES.values():
    gin.register(_configurable, module="deeplab")

# Every run has these, whatever else it binds (gin/base.gin).
MACROS = (
    "BACKBONE",
    "OUTPUT_STRIDE",
    "NUM_CLASSES",
    "DATASET",
    "CROP_SIZE",
    "GLOBAL_BATCH_SIZE",
    "TRAIN_STEPS",
    "OPTIMIZER",
    "BASE_LEARNING_RATE",
    "DROPOUT_RATE",
    "CHECKPOINT_STEPS",
    "EVAL_STEPS",
    "SEED",
)

_LINE_LENGTH = 100
_Settings = TypeVar("_Settings")


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A configuration that has been read and checked.

    Attributes:
        train: all settings of a training run.
        config_text: what was bound, as a gin file that needs no other.
        operative_text: what is in effect, defaults included, as such a file.
    """

    train: TrainConfig
    config_text: str
    operative_text: str


def read_configuration(
    gin_files: Sequence[str],
    gin_bindings: Sequence[str] = (),
    *,
    from_model_dir: str | os.PathLike[str] | None = None,
) -> Configuration:
    """Reads the settings of a training run.

    Args:
        gin_files: names of gin files, see `find_gin_file`; later ones override earlier ones.
        gin_bindings: statements such as "TRAIN_STEPS=60"; they override the files.
        from_model_dir: the folder of a run whose `config.gin` is read before the files. Nothing is
            imported that it names: a model_dir may come from anywhere, and an import runs code.

    Raises:
        DeepLabError: for a file that is missing or cannot be read, an unknown name, a wrong value.
    """
    with _cleared_gin():
        reader = _Reader()
        if from_model_dir is not None:
            reader.read_saved(Path(from_model_dir) / "config.gin")
        train = reader.make(TrainConfig, gin_files, gin_bindings)
        _check_num_classes(train)
        return Configuration(
            train, gin.config_str(_LINE_LENGTH), gin.operative_config_str(_LINE_LENGTH)
        )


def read_data_config(gin_files: Sequence[str], gin_bindings: Sequence[str] = ()) -> DataConfig:
    """Reads the settings of a data set alone, from a run's file or from one of `gin/dataset/`.

    Args:
        gin_files: names of gin files, see `find_gin_file`.
        gin_bindings: statements that override the files.

    Raises:
        DeepLabError: as `read_configuration`.
    """
    with _cleared_gin():
        # A file of gin/dataset/ sets macros only, which base.gin hands on.
        return _Reader().make(DataConfig, ["base.gin", *gin_files], gin_bindings)


def find_gin_file(name: str) -> Path:
    """Finds a gin file in the working directory, or else among those of the package.

    Args:
        name: a path, such as "runs/shapes_mobilenet_v2.gin".

    Raises:
        DeepLabError: if it is in neither place.
    """
    folders = [Path(), package_gin_folder()]
    for folder in folders:
        path = folder / name
        if path.is_file():
            return path
        if path.is_dir():
            raise DeepLabError(f"gin file {name!r} is a folder")
    available = [
        path.relative_to(folders[1]).as_posix() for path in sorted(folders[1].rglob("*.gin"))
    ]
    if Path(name).is_absolute():
        raise DeepLabError(f"there is no gin file {name!r}")
    # A misspelt run is compared with the runs, a misspelt part with everything.
    runs = [path for path in available if path.startswith("runs/")]
    raise unknown_name("gin file", name, runs if name.startswith("runs/") else available)


def package_gin_folder() -> Path:
    """The folder with the gin files of the package.

    An installed package holds them as `deeplab/gin_files`. In a checkout, or installed from one in
    editable mode, they are in `gin/` beside the package, which must not be mistaken for gin-config:
    in site-packages that is the folder `gin` beside this package.

    Raises:
        DeepLabError: if the installation has no gin files.
    """
    package = Path(deeplab.__file__).parent
    for folder in (package / "gin_files", package.parent / "gin"):
        if (folder / "runs").is_dir() and not (folder / "__init__.py").exists():
            return folder
    raise DeepLabError(f"the gin files of the package at {package} are missing: install it again")


@contextmanager
def _cleared_gin() -> Iterator[None]:
    """gin's state is global to the process: it is empty before and after."""
    gin.clear_config()
    try:
        yield
    finally:
        gin.clear_config()


class _Reader:
    """Binds the statements of files and of the command line, and remembers which macros exist."""

    def __init__(self) -> None:
        self._macros: dict[str, object] = {}  # name -> value, of those that are set
        self._places: dict[str, str] = {}  # name -> where it was set last
        self._used: set[str] = set()  # named by a %MACRO anywhere, overridden or not
        self._required: dict[str, str] = {}  # what is still %gin.REQUIRED -> where it says so
        self._including: list[Path] = []
        self._saved: frozenset[str] = frozenset()
        self._on_command_line: set[str] = set()

    def read_saved(self, path: Path) -> None:
        """Binds the statements of a run's `config.gin`, without imports."""
        self._read(read_text(path), str(path), may_import=False)
        # gin also saves the macros that nothing uses any more.
        self._saved = frozenset(self._macros)

    def make(
        self, configurable: type[_Settings], gin_files: Sequence[str], gin_bindings: Sequence[str]
    ) -> _Settings:
        """Binds the statements of files, then of the command line, and makes what they set."""
        for name in gin_files:
            self._read_file(name)
        before = dict(self._places)
        for binding in gin_bindings:
            self._read(binding + "\n", f'--gin_bindings="{binding}"', may_import=False)
        self._on_command_line = {
            name for name, place in self._places.items() if before.get(name) != place
        }
        self._check(configurable.__name__)
        try:
            return gin.get_configurable(configurable.__name__)()
        except Exception as error:
            message = _without_location(error)
            if isinstance(error, TypeError) and "missing" in message:
                message = "the gin file sets no model or data: it needs: include 'base.gin'"
            raise DeepLabError(message) from error

    def _read_file(self, name: str) -> None:
        """Binds the statements of a gin file and of those that it includes."""
        path = find_gin_file(name)
        if path in self._including:
            raise DeepLabError(f"gin file {name!r} includes itself")
        self._including.append(path)
        self._read(read_text(path), name, may_import=True)
        self._including.pop()

    def _check(self, root: str) -> None:
        """Finds what can only be said when everything has been read.

        Args:
            root: the configurable that will be made; what the others lack does not matter.
        """
        for name in sorted(set(self._macros) - self._used - self._saved):
            if name in MACROS:
                raise DeepLabError(
                    f"{self._places[name]}: nothing uses {name}; a gin file needs: "
                    "include 'base.gin'"
                )
            known = sorted({*self._used, *self._macros} - {name})
            raise _at(self._places[name], unknown_name("macro", name, known))
        in_effect = self._reached(TrainConfig.__name__)
        for name in sorted(self._on_command_line - in_effect):
            raise DeepLabError(
                f"{self._places[name]}: {name} has no effect, because what it names is bound "
                "directly"
            )
        needed = self._reached(root)
        for name in sorted(needed - set(self._macros) - set(self._required)):
            raise unknown_name("macro", name, self._macros)
        for name, place in self._required.items():
            if name in needed or "." in name:
                raise DeepLabError(f"{place}: {name} must be set, {_how_to_set(name)}")

    def _read(self, text: str, place: str, *, may_import: bool) -> None:
        delegate = _Delegate()
        parser = config_parser.ConfigParser(StringIO(), delegate)
        try:
            parser = config_parser.ConfigParser(StringIO(text), delegate)
            statements = iter(parser)
            while (statement := next(statements, None)) is not None:
                self._used |= delegate.macros
                line = _in_line(place, statement.location.line_num)
                self._bind(statement, line, may_import)
        except (SyntaxError, tokenize.TokenError) as error:
            raise _syntax_error(error, text, place) from error
        except _BadReference as error:
            # gin has appended its own lines about the place.
            line = _in_line(place, parser.current_token.start[0])
            raise DeepLabError(f"{line}: {_without_location(error)}") from error

    def _bind(self, statement: Any, place: str, may_import: bool) -> None:
        if isinstance(statement, config_parser.IncludeStatement):
            try:
                find_gin_file(statement.filename)
            except DeepLabError as error:
                raise _at(place, error) from None
            self._read_file(statement.filename)
        elif isinstance(statement, config_parser.ImportStatement):
            if not may_import:
                raise DeepLabError(
                    f"{place}: {statement.format()!r} is refused: an import runs code, and only "
                    "a --gin_file may do that"
                )
            try:
                gin.parse_config(statement.format())
            except ImportError as error:
                raise DeepLabError(f"{place}: {_without_location(error)}") from error
        elif statement.scope:
            raise DeepLabError(f"{place}: scopes mean nothing here: {statement.scope!r}")
        elif isinstance(statement, config_parser.BlockDeclaration):
            _check_configurable(statement.selector, place)
        elif statement.arg_name:
            self._bind_setting(statement, place)
        else:
            self._bind_macro(statement.selector, statement.value, place)

    def _bind_macro(self, name: str, value: object, place: str) -> None:
        if value is gin.REQUIRED:
            self._required[name] = place
            return
        self._required.pop(name, None)
        self._macros[name] = value
        self._places[name] = place
        gin.bind_parameter(f"{name}/gin.macro.value", value)

    def _bind_setting(self, statement: config_parser.BindingStatement, place: str) -> None:
        selector, name, value = statement.selector, statement.arg_name, statement.value
        _check_configurable(selector, place)
        binding = f"{selector}.{name}"
        if value is gin.REQUIRED:
            self._required[binding] = place
            return
        self._required.pop(binding, None)
        try:
            gin.bind_parameter(binding, value)
        except ValueError as error:
            configurable = CONFIGURABLES.get(selector.rpartition(".")[2])
            if configurable is None:
                raise DeepLabError(f"{place}: {_without_location(error)}") from error
            settings = [field.name for field in dataclasses.fields(configurable)]
            raise _at(place, unknown_name(f"setting of {selector}", name, settings)) from error

    def _reached(self, selector: str) -> set[str]:
        """The macros that a configurable's value depends on."""
        names: set[str] = set()
        pending: list[object] = [gin.get_bindings(selector, resolve_references=False)]
        while pending:
            for reference in gin.config.iterate_references(pending.pop()):
                if reference.selector == "gin.macro":
                    name = reference.scoped_selector.rpartition("/")[0]
                    if name not in names:
                        names.add(name)
                        pending.append([self._macros.get(name)])
                else:
                    bound = gin.get_bindings(reference.selector, resolve_references=False)
                    pending.append(bound)
        return names


class _BadReference(Exception):
    """An `@name` that cannot be used; the message says why, the place is not known there."""


class _Delegate(gin.config.ParserDelegate):
    """Makes the values of `@name` and `%MACRO` for gin's parser, and notes the macros."""

    def __init__(self) -> None:
        super().__init__()
        self.macros: set[str] = set()

    def configurable_reference(self, scoped_selector: str, evaluate: bool) -> object:
        """The value of `@name` or `@name()`."""
        if not evaluate and scoped_selector.rpartition(".")[2] in CONFIGURABLES:
            raise _BadReference(f"write @{scoped_selector}(): without () it is not called")
        try:
            return super().configurable_reference(scoped_selector, evaluate)
        except ValueError as error:
            unknown = unknown_name("gin name", scoped_selector, CONFIGURABLES)
            raise _BadReference(str(unknown)) from error

    def macro(self, name: str) -> object:
        """The value of `%NAME`."""
        if name == "gin.REQUIRED":
            return gin.REQUIRED
        self.macros.add(name)
        return super().macro(name)


def _check_configurable(selector: str, place: str) -> None:
    try:
        gin.get_configurable(selector)
    except ValueError as error:
        raise _at(place, unknown_name("gin name", selector, CONFIGURABLES)) from error
    if selector.rpartition(".")[2] in ("macro", "constant", "singleton"):
        raise _at(place, unknown_name("gin name", selector, CONFIGURABLES))


def _check_num_classes(config: TrainConfig) -> None:
    """A number of classes that the data set cannot have needs no data to be refused."""
    names = DATASETS[config.data.dataset].class_names
    num_classes = config.model.num_classes
    if names is not None:
        source = f"the data set {config.data.dataset!r}"
        num_classes = checks.num_classes(num_classes, len(names), source)
    if num_classes is not None:
        config.loss.check_num_classes(num_classes)


def _how_to_set(name: str) -> str:
    files = {"BACKBONE": "backbone", "DATASET": "dataset"}
    if name in files:
        return f"for example by including a file of gin/{files[name]}/"
    return f'for example by --gin_bindings="{name}=..."'


def _syntax_error(error: Exception, text: str, place: str) -> DeepLabError:
    """Says what is wrong with a statement; mostly a text lacks its quotes."""
    number = getattr(error, "lineno", None) or len(text.splitlines())
    lines = text.splitlines() or [""]
    statement = lines[min(number, len(lines)) - 1].strip()
    key, _, value = (part.strip() for part in statement.partition("="))
    literals = {"true": "True", "false": "False", "none": "None", "null": "None"}
    if value.lower() in literals:
        advice = f"write {key}={literals[value.lower()]}"
    elif re.fullmatch(r"[A-Za-z_~./][\w./~-]*", value):
        advice = f"a text needs quotes: {key}='{value}'"
    else:
        advice = _without_location(error).rstrip(".").lower()
    return DeepLabError(f"{_in_line(place, number)}: cannot read {statement!r}: {advice}")


def _in_line(place: str, number: int) -> str:
    return place if place.startswith("--gin_bindings") else f"{place}, line {number}"


def _at(place: str, error: DeepLabError) -> DeepLabError:
    return DeepLabError(f"{place}: {error}")


def _without_location(error: Exception) -> str:
    """The message of an error without the lines that gin appends about its place."""
    message = (
        str(error.args[0]) if isinstance(error, SyntaxError | tokenize.TokenError) else str(error)
    )
    return message.split("\n  ")[0].replace("\n", " ").strip()
