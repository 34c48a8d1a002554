"""The widths of MobileNetV2."""

from __future__ import annotations

from typing import Any

import deeplab


def test_widths_of_mobilenet_v2() -> None:
    def widths(**settings: Any) -> list[int]:
        config = deeplab.ModelConfig(
            "mobilenet_v2", num_classes=3, aspp=False, atrous_rates=(), decoder=False, **settings
        )
        model = deeplab.build_model(config)
        names = (
            "conv",
            "expanded_conv.project",
            "expanded_conv_1.expand",
            "expanded_conv_3.project",
        )
        return [model.get_layer(f"backbone.{name}").filters for name in names]

    assert widths(depth_multiplier=1.0) == [32, 16, 96, 32]
    assert widths(depth_multiplier=0.35) == [11, 6, 40, 11]
    assert widths(depth_multiplier=0.35, backbone_options={"divisible_by": 8}) == [16, 8, 48, 16]
    assert widths(depth_multiplier=1.0, backbone_options={"divisible_by": 32}) == [32, 32, 192, 32]
