"""One pass over labeled images, and everything that is derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from deeplab.evaluation.bootstrap import intervals
from deeplab.evaluation.boundary_f import BoundaryF
from deeplab.evaluation.calibration import Calibration
from deeplab.evaluation.examples import ExampleCollector, Scored
from deeplab.evaluation.labeled_images import LabeledImages
from deeplab.evaluation.model_evaluation import Predicted, evaluate_model
from deeplab.evaluation.per_image import PerImage, PerImageCounts
from deeplab.evaluation.plan import Asked
from deeplab.evaluation.slices import by_name, by_size, of_merged
from deeplab.evaluation.trimap import Trimap
from deeplab.runtimes.predictor import Predictor


class Measured(NamedTuple):
    """What one pass found.

    Attributes:
        metrics: the part of metrics.json that follows from labels and predictions.
        images: the counts of each image.
        examples: images for the report.
    """

    metrics: dict[str, Any]
    images: PerImage
    examples: ExampleCollector


def measure(
    predictor: Predictor,
    source: LabeledImages,
    class_names: Sequence[str],
    asked: Asked,
    *,
    progress: bool,
) -> Measured:
    """Measures a network on labeled images.

    Args:
        predictor: the network.
        source: the images.
        class_names: one per class id.
        asked: what else is wanted.
        progress: whether to show how far it is.

    Raises:
        DeepLabError: see `evaluate_model`, and if `asked` cannot be answered.
    """
    trimap = Trimap(len(class_names), source.ignore_label)
    boundary_f = BoundaryF(class_names, source.ignore_label)
    per_image = PerImageCounts(len(class_names))
    examples = ExampleCollector()
    calibration = Calibration(source.ignore_label) if asked.calibration else None
    collect = [trimap.add, boundary_f.add, per_image.add, examples.add]
    collect += [calibration.add] if calibration is not None else []

    def add(scored: Scored) -> None:
        for collector in collect:
            collector(scored)

    def with_confidence(images: Any) -> Predicted:
        probabilities = predictor.probabilities(images)
        return Predicted(probabilities.argmax(axis=-1), probabilities.max(axis=-1))

    metrics = evaluate_model(
        predictor.labels if calibration is None else with_confidence,
        source.batches,
        class_names=class_names,
        ignore_label=source.ignore_label,
        num_images=source.num_images,
        progress=progress,
        on_image=add,
    )
    images = per_image.result()
    metrics |= boundary_f.metrics() | trimap.metrics()
    if calibration is not None:
        metrics |= calibration.metrics()
    metrics["intervals"] = intervals(images.sums, class_names)
    metrics["by_size"] = by_size(images, class_names)
    if asked.group_by is not None:
        metrics["by_group"] = by_name(images, class_names, asked.group_by)
    if asked.merge_classes:
        metrics["merged"] = of_merged(images, class_names, asked.merge_classes)
    return Measured(metrics, images, examples)
