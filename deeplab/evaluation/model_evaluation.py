"""Running a network over labeled images and counting what it gets right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from deeplab.errors import DeepLabError
from deeplab.evaluation.examples import Scored
from deeplab.evaluation.metrics import Integers, Tally, summarize
from deeplab.out_of_memory import explained, inference_advice
from deeplab.progress import track


class Predicted(NamedTuple):
    """Predictions with what the network thinks of them.

    Attributes:
        labels: class ids [B, H, W].
        confidence: their probabilities, float32 [B, H, W].
    """

    labels: Integers
    confidence: npt.NDArray[np.float32]


def evaluate_model(
    predict_labels: Callable[[tf.Tensor], Any],
    batches: Iterable[Mapping[str, tf.Tensor]],
    *,
    class_names: Sequence[str],
    ignore_label: int,
    num_images: int | None = None,
    progress: bool = False,
    on_image: Callable[[Scored], None] | None = None,
    merge: Callable[[Tally], Tally] | None = None,
) -> dict[str, Any]:
    """Measures a network on labeled images.

    Args:
        predict_labels: images float32 [B, H, W, C], 0..255 -> class ids int32 [B, H, W], or
            `Predicted`; see `label_function`. Compiled once, it can be measured again and again
            while the network learns.
        batches: finite, of "image" float32 [B, H, W, C], "label" int32 [B, H, W] and "id" string
            [B]. Images of a batch have one size, batches may differ.
        class_names: one per class id.
        ignore_label: the label id of pixels that do not count.
        num_images: how many images will come; they are counted against it at the end.
        progress: whether to show how far it is.
        on_image: called with every image and its prediction, in order, from a thread of its own.
        merge: this process' counts -> those of all processes that share the images.

    Returns:
        The part of metrics.json that follows from the predictions; see `summarize`.

    Raises:
        DeepLabError: if an id is not a class, an image comes twice, or there are fewer or more
            images than `num_images`, or none.
    """
    tally = Tally(len(class_names), ignore_label)

    def count(ids: Sequence[str], batch: Mapping[str, tf.Tensor], predicted: Any) -> None:
        confidence = predicted.confidence if isinstance(predicted, Predicted) else None
        predictions = np.asarray(predicted if confidence is None else predicted.labels)
        labels = batch["label"].numpy()
        for index, image_id in enumerate(ids):
            counts = tally.add(image_id, labels[index], predictions[index])
            if on_image is not None:
                colors = batch["image"][index][..., :3].numpy()
                pixels = np.clip(np.rint(colors), 0, 255)
                on_image(
                    Scored(
                        image_id,
                        pixels.astype(np.uint8),
                        labels[index],
                        predictions[index],
                        counts,
                        None if confidence is None else confidence[index],
                    )
                )

    # A batch is counted while the network sees the next one: a GPU leaves the processor idle.
    with (
        track("evaluating", num_images, unit="images", silent=not progress) as reporter,
        ThreadPoolExecutor(1) as counter,
    ):
        counted: Future[None] | None = None
        for batch in batches:
            ids = [raw.decode("utf-8", "replace") for raw in batch["id"].numpy()]
            try:
                size = "x".join(map(str, batch["image"].shape[:3]))
                with explained(f"predicting {size} pixels", inference_advice):
                    predicted = predict_labels(batch["image"])
            except DeepLabError as error:
                raise DeepLabError(f"image {ids[0]}: {error}") from error
            if counted is not None:
                counted.result()
            counted = counter.submit(count, ids, batch, predicted)
            reporter.advance(len(ids))
        if counted is not None:
            counted.result()
    if merge is not None:
        tally = merge(tally)
    if not tally.num_images or num_images not in (None, tally.num_images):
        expected = "at least one" if num_images is None else num_images
        raise DeepLabError(f"{tally.num_images} images were evaluated, expected {expected}")
    return summarize(tally, class_names)
