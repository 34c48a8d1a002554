"""`--model_dir` of the commands that read a model: a folder, or SOURCE:NAME."""

from __future__ import annotations

import os
from typing import Any

from absl import flags

from deeplab.cli.shared_flags import AbsolutePath
from deeplab.errors import DeepLabError

# As in deeplab.interop, which `--help` cannot wait for.
SOURCES = [
    "hugging_face",
    "keras_applications",
    "keras_io",
    "litert",
    "model_zoo",
    "tf1",
    "timm",
]

_AS_TEXT: flags.ArgumentSerializer[Any] = flags.ArgumentSerializer()


def is_name(text: str | None) -> bool:
    """Whether a text is SOURCE:NAME, and no path."""
    return _looks_like_name(text or "") and not os.path.exists(text or "")


def model_folder(name: str, text: str) -> flags.Flag[str]:
    """A flag that is a folder to read a model from; `text` describes it."""
    text += "; or SOURCE:NAME, such as model_zoo:mobilenetv2_coco_voc_trainaug, which is fetched "
    text += "and imported once"
    return flags.Flag(_ToRead(), _AS_TEXT, name, None, text)


def new_model_folder(text: str) -> flags.Flag[str]:
    """`--model_dir` of a command that writes it."""
    return flags.Flag(_ToWrite(), _AS_TEXT, "model_dir", None, text)


def resolve(text: str | None) -> Any:
    """The folder that a flag means, which a name is imported to; TensorFlow is imported by now.

    Raises:
        DeepLabError: if a name cannot be fetched or imported.
    """
    if text is None or not is_name(text):
        return text
    from deeplab.interop import model_folder

    return model_folder(text)


def _looks_like_name(text: str) -> bool:
    source, colon, _ = text.partition(":")
    return bool(colon) and source in SOURCES


class _ToRead(AbsolutePath):
    def parse(self, argument: str) -> str:
        return argument if is_name(argument) else super().parse(argument)


class _ToWrite(AbsolutePath):
    def parse(self, argument: str) -> str:
        if _looks_like_name(argument):
            raise DeepLabError(
                "imported weights are only read; give a folder of your own, and to train on from "
                f"them --init_from={argument}"
            )
        return super().parse(argument)
