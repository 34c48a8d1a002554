"""What is evaluated and predicts: the model of a folder, or an exported file.

An exported file needs no TensorFlow here, so that this module imports none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from deeplab.errors import DeepLabError
from deeplab.keras_backend import require_channels_last, require_tensorflow
from deeplab.runtimes.inference import check_scales, open_predictor
from deeplab.runtimes.metadata import Metadata
from deeplab.runtimes.predictor import Predictor
from deeplab.runtimes.runtime import RUNTIMES, read_metadata

if TYPE_CHECKING:
    from deeplab.model_dir import ModelDescription

Description: TypeAlias = "ModelDescription | Metadata"


class Subject(NamedTuple):
    """A network that is not loaded yet.

    Attributes:
        name: for the title of the report.
        description: what is known of its classes and images.
        is_export: whether it is an exported file.
        step: of its weights; None if it is not known.
        output_stride: of the network; None if it is not known.
        trained_stride: the one it was trained with; None if it is not known.
        load: opens it.
    """

    name: str
    description: Description
    is_export: bool
    step: int | None
    output_stride: int | None
    trained_stride: int | None
    load: Callable[[], Predictor]


def find_subject(
    *,
    model_dir: str | Path | None = None,
    saved_model: str | Path | None = None,
    litert: str | Path | None = None,
    onnx: str | Path | None = None,
    checkpoint: str = "latest",
    output_stride: int | None = None,
    eval_scales: Sequence[float] = (1.0,),
    flip: bool = False,
    original_protocol: bool = False,
) -> Subject:
    """Finds the network that the arguments of `evaluate` and `predict` name.

    Raises:
        DeepLabError: if they name none or several, there is no such model, checkpoint or export,
            or something is asked for that it does not have.
    """
    check_scales(eval_scales)
    exports = {"saved_model": saved_model, "litert": litert, "onnx": onnx}
    given = [(kind, Path(path)) for kind, path in exports.items() if path is not None]
    if len(given) > 1:
        raise DeepLabError(f"give one of {' and '.join(kind for kind, _ in given)}")
    if bool(given) == (model_dir is not None):
        raise DeepLabError(f"give a model_dir or one of {', '.join(RUNTIMES)}, one of them alone")
    if model_dir is not None:
        require_tensorflow()
        from deeplab.evaluation.model_subject import of_model_dir

        require_channels_last()
        return of_model_dir(
            model_dir,
            checkpoint,
            output_stride,
            eval_scales=eval_scales,
            flip=flip,
            original_protocol=original_protocol,
        )
    kind, path = given[0]
    if output_stride is not None:
        raise DeepLabError(
            f"output_stride {output_stride} needs a model_dir: a {kind} file has the one it was "
            "exported with"
        )
    if checkpoint != "latest":
        raise DeepLabError(f"checkpoint {checkpoint} needs a model_dir: a {kind} file is one")
    if original_protocol:
        raise DeepLabError(f"original_protocol needs a model_dir: a {kind} file does not have it")
    metadata = read_metadata(kind, path)
    return Subject(
        name=path.resolve().name,
        description=metadata,
        is_export=True,
        step=metadata.step,
        output_stride=metadata.output_stride,
        trained_stride=metadata.output_stride,
        load=partial(open_predictor, kind, path, eval_scales=eval_scales, flip=flip),
    )
