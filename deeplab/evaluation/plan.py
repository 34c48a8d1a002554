"""What `evaluate` is told, by what it is about; `evaluate` explains each field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deeplab.data import DataConfig
from deeplab.errors import DeepLabError
from deeplab.evaluation.labeled_images import LabeledImages, from_data_set, from_folders
from deeplab.evaluation.slices import MergedClasses, check_merged_classes, compiled
from deeplab.evaluation.subject import Description, Subject, find_subject
from deeplab.runtimes.predictor import Predictor, with_padding
from deeplab.runtimes.windows import Windows, make_windows, windowed


@dataclasses.dataclass(frozen=True)
class Network:
    """Which network is measured."""

    model_dir: str | Path | None = None
    saved_model: str | Path | None = None
    litert: str | Path | None = None
    onnx: str | Path | None = None
    checkpoint: str = "latest"


@dataclasses.dataclass(frozen=True)
class View:
    """How a network sees the images."""

    output_stride: int | None = None
    eval_scales: Sequence[float] = (1.0,)
    flip: bool = False
    window: tuple[int, int] | None = None
    overlap: tuple[int, int] | None = None
    original_protocol: bool = False
    pad_to: tuple[int, int] | None = None

    def find(self, network: Network) -> Subject:
        """The network, not loaded yet.

        Raises:
            DeepLabError: if there is none, or it cannot see images so.
        """
        return find_subject(
            **vars(network),
            output_stride=self.output_stride,
            eval_scales=self.eval_scales,
            flip=self.flip,
            original_protocol=self.original_protocol,
        )

    def windows(self, subject: Subject) -> Windows | None:
        """The windows for a network; None: it sees images whole.

        Raises:
            DeepLabError: if they do not fit it.
        """
        return make_windows(self.window, self.overlap, output_stride=subject.output_stride)

    def open(self, subject: Subject) -> Predictor:
        """Loads a network."""
        predictor = subject.load()
        windows = self.windows(subject)
        if windows is not None:
            predictor = windowed(predictor, windows)
        if self.pad_to is not None:
            predictor = with_padding(predictor, self.pad_to, subject.description.pad_value)
        return predictor

    def facts(self, subject: Subject) -> dict[str, Any]:
        """What metrics.json says of it."""
        windows = self.windows(subject)
        return {
            "checkpoint_step": subject.step,
            "output_stride": subject.output_stride,
            "eval_scales": [float(scale) for scale in self.eval_scales],
            "flip": self.flip,
            "window": None if windows is None else list(windows.size),
            "overlap": None if windows is None else list(windows.overlap),
            "pad_to": None if self.pad_to is None else list(self.pad_to),
        }


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the labeled images are."""

    images: str | Path | None = None
    labels: str | Path | None = None
    classes: str | Path | None = None
    data: DataConfig | None = None
    split: str | None = None
    data_dir: str | Path | None = None
    source_dir: str | Path | None = None

    def __post_init__(self) -> None:
        """Images come from two folders or from a data set."""
        if (self.images is None) != (self.labels is None):
            raise DeepLabError(
                "images and labels are two folders that belong together; one is missing"
            )
        if self.images is not None and (self.split is not None or self.data is not None):
            raise DeepLabError(
                "images and labels take the place of a data set: give no split of one"
            )
        if self.images is None and self.classes is not None:
            raise DeepLabError(
                f"classes {self.classes} says what masks mean: give images and labels too"
            )

    def find(self, description: Description) -> LabeledImages:
        """The images, for a network.

        Raises:
            DeepLabError: if they cannot be used.
        """
        if self.images is not None and self.labels is not None:
            return from_folders(description, self.images, self.labels, self.classes)
        return from_data_set(
            description,
            self.data,
            self.split,
            data_dir=self.data_dir,
            source_dir=self.source_dir,
        )


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is derived from the counts beyond what always is."""

    calibration: bool = False
    group_by: str | None = None
    merge_classes: MergedClasses = dataclasses.field(default_factory=dict)

    def check(self, class_names: Sequence[str]) -> None:
        """Makes sure that it can be answered for these classes.

        Raises:
            DeepLabError: if not.
        """
        if self.group_by is not None:
            compiled(self.group_by)
        check_merged_classes(self.merge_classes, class_names)


def result_name(facts: Mapping[str, Any], *, trained_stride: int | None) -> str:
    """The folder of a result: dataset-split[-osN][-ms][-flip][-windowHxW].

    Of two folders of images: images[...].

    Args:
        facts: what metrics.json says of images and view.
        trained_stride: the output stride that the network was trained with.
    """
    data = "images" if facts["dataset"] is None else f"{facts['dataset']}-{facts['split']}"
    parts = [data]
    if facts["output_stride"] != trained_stride:
        parts.append(f"os{facts['output_stride']}")
    if facts["eval_scales"] != [1.0]:
        parts.append("ms")
    if facts["flip"]:
        parts.append("flip")
    if facts["window"] is not None:
        parts.append("window" + "x".join(map(str, facts["window"])))
    return "-".join(parts)
