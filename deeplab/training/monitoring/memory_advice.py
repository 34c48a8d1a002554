"""What to say when training runs out of memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deeplab.models import training_memory
from deeplab.out_of_memory import explained
from deeplab.training.optimization.optimizers import num_slots
from deeplab.training.run import Run

# What takes less, that which costs least first.
_REMEDIES = (
    "TrainConfig.accumulation_steps=2",
    "TrainConfig.precision='mixed_bfloat16'",
    "TrainConfig.rematerialize=True",
    "a smaller GLOBAL_BATCH_SIZE",
    "a smaller CROP_SIZE",
    "a larger OUTPUT_STRIDE",
)


@contextlib.contextmanager
def training_explained(run: Run) -> Iterator[None]:
    """Turns running out of memory into a line with the prediction and what to change."""
    batch_size = run.config.global_batch_size // run.strategy.num_replicas_in_sync
    height, width = run.config.data.crop_height_width
    images = f"{batch_size} images of {height}x{width} on each device"
    with explained(f"training with {images}", lambda: _advice(run, batch_size)):
        yield


def _advice(run: Run, batch_size: int) -> str:
    height, width = run.config.data.crop_height_width
    memory = training_memory(
        run.model.model_config,
        height=height,
        width=width,
        slots=num_slots(run.config.optimizer),
    )
    needed = memory.of_batch(batch_size) / 1e9
    return (
        f"in float32 that takes about {needed:.1f} GB, {memory.image / 1e9:.2f} of them for each "
        f"image (deeplab info). Less takes: {', '.join(_REMEDIES)}"
    )
