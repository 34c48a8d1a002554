"""Installed packages, by what they say of themselves: nothing is imported."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

PACKAGE = "deeplab"

# Those whose versions decide what works.
SHOWN = (
    "tensorflow",
    "keras",
    "numpy",
    "protobuf",
    "tensorflow-datasets",
    "tensorflow-metadata",
    "gin-config",
    "h5py",
    "ml-dtypes",
    "pillow",
    "tensorboard",
)
# Those whose own requirements are checked too.
_CHECKED = (PACKAGE, "tensorflow", "keras", "tensorflow-datasets")


class Clash(NamedTuple):
    """Packages that pip puts side by side and that do not work so.

    Attributes:
        package: one of them.
        versions: of it, such as "<2.20"; "" for any.
        other: the other.
        other_versions: of it.
        advice: what to do.
    """

    package: str
    versions: str
    other: str
    other_versions: str
    advice: str

    def is_there(self) -> bool:
        """Whether both are installed in such versions."""
        pairs = ((self.package, self.versions), (self.other, self.other_versions))
        return all(_fits(version(name), versions) for name, versions in pairs)

    def __str__(self) -> str:
        """For the user."""
        return (
            f"{self.package} {version(self.package)} and {self.other} {version(self.other)} do not "
            f"work together: {self.advice}"
        )


CLASHES = (
    # Its generated code is for protobuf 6, which it does not say.
    Clash(
        "tensorflow",
        "<2.20",
        "tensorflow-metadata",
        ">=1.18",
        "pip install 'tensorflow>=2.20', or 'tensorflow-metadata<1.18'",
    ),
    Clash(
        "tensorflow-datasets",
        "<4.9.10",
        "protobuf",
        ">=7",
        "pip install 'tensorflow-datasets>=4.9.10', or 'protobuf<7'",
    ),
    Clash("protobuf", ">=7", "apache-beam", "", "pip install 'protobuf<7'"),
    # They bring a TensorFlow of their own, or older packages that it shares.
    Clash("tensorflow", "", "litert-torch", "", "keep litert-torch in an environment of its own"),
    Clash(
        "tensorflow", "", "litert-converter", "", "keep litert-converter in an environment apart"
    ),
)


def version(name: str) -> str | None:
    """Of an installed package; None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def problems() -> Iterator[str]:
    """What is missing, too old or too new, and known clashes, a line each."""
    for owner in _CHECKED:
        for requirement in _requirements(owner):
            if not _is_met(requirement):
                found = version(requirement.name)
                state = f"{found} is installed" if found else "it is not installed"
                yield f"{owner} needs {_without_marker(requirement)}, but {state}"
    yield from (str(clash) for clash in CLASHES if clash.is_there())


def extras() -> dict[str, list[str]]:
    """Extra of this package -> what of it is not installed."""
    try:
        names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return {}
    return {
        name: [
            _without_marker(requirement)
            for requirement in _requirements(PACKAGE, extra=name)
            if requirement.marker is not None and not _is_met(requirement)
        ]
        for name in sorted(names)
    }


def _is_met(requirement: Requirement) -> bool:
    """Whether it is installed, with what its own extras need."""
    name = requirement.name
    return _fits(version(name), str(requirement.specifier)) and all(
        _is_met(needed) for extra in requirement.extras for needed in _requirements(name, extra)
    )


def _without_marker(requirement: Requirement) -> str:
    return str(requirement).split(";")[0].strip()


def _requirements(owner: str, extra: str = "") -> list[Requirement]:
    """What an installed package needs on this machine."""
    try:
        lines = metadata.requires(owner) or []
    except metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(line) for line in lines]
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": extra})]


def _fits(found: str | None, versions: str) -> bool:
    requirement = Requirement(f"x{versions}")
    return found is not None and requirement.specifier.contains(Version(found), prereleases=True)
