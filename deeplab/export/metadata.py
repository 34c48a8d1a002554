"""What an export says of itself, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deeplab.export.source import Source


def metadata(source: Source) -> dict[str, Any]:
    """Classes, colors, what is done to images, where the weights came from, and metrics if known.

    Plain values, for JSON.
    """
    description = source.description
    return {
        "classes": list(description.class_names),
        "colors": [list(color) for color in description.colors],
        "ignore_label": description.ignore_label,
        "preprocessing": {
            "channels": description.config.resolved_input_channels,
            "color_order": "RGB",  # of the first three
            "range": [0, 255],
            "size": "any" if source.size is None else list(source.size),
            "pad_value": list(description.pad_value),
            "inside_the_model": description.config.resolved_backbone.normalization,
        },
        "inference": {"eval_scales": list(source.eval_scales), "flip": source.flip},
        "resize": description.config.resize,
        "source": {
            "backbone": description.config.backbone,
            "output_stride": source.model.model_config.output_stride,
            "checkpoint": Path(source.checkpoint.prefix).name,
            "step": source.checkpoint.step,
            "weights": description.weights_source,
        },
        "metrics": source.metrics(),
    }
