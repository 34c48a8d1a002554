"""What every export says of itself: classes, preprocessing, where the weights came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deeplab.export.source import ANY_SIZE, Source


def metadata(source: Source) -> dict[str, Any]:
    """The content of metadata.json, which the other formats carry as one text."""
    description = source.description
    return {
        "classes": list(description.class_names),
        "colors": [list(color) for color in description.colors],
        "ignore_label": description.ignore_label,
        "mask_ignore": description.mask_ignore,
        "mask_colors": description.mask_colors,
        "preprocessing": {
            "channels": description.config.resolved_input_channels,
            "color_order": "RGB",  # of the first three
            "range": [0, 255],
            "size": "any" if source.size in (None, ANY_SIZE) else list(source.size),
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
