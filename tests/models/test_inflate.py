"""The first kernel is all that depends on the number of channels."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.models import BACKBONES, ModelConfig, build_model, inflated, variables_by_path


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet_18", "xception_41"])
@pytest.mark.parametrize("channels", [4, 6])
def test_padding_becomes_zero_in_every_further_channel(backbone: str, channels: int) -> None:
    config = ModelConfig(backbone=backbone, num_classes=2, input_channels=channels)
    row = BACKBONES[backbone]
    values = row.scale * np.array(config.pad_value) + np.array(row.offsets(channels))
    assert len(config.pad_value) == channels
    np.testing.assert_allclose(values[3:], 0, atol=1e-6)
    assert config.pad_value[:3] == row.pad_value


@pytest.mark.parametrize(
    "backbone", ["mobilenet_v2", "resnet_18", pytest.param("xception_41", marks=pytest.mark.slow)]
)
def test_only_the_first_kernel_depends_on_the_channels(backbone: str) -> None:
    shapes = [
        {path: tuple(v.shape) for path, v in variables_by_path(build_model(config)).items()}
        for config in (
            ModelConfig(backbone=backbone, num_classes=2, input_channels=channels)
            for channels in (3, 5)
        )
    ]
    assert shapes[0].keys() == shapes[1].keys()
    changed = [path for path in shapes[0] if shapes[0][path] != shapes[1][path]]
    assert len(changed) == 1
    assert shapes[1][changed[0]][2] == 5


def test_inflated_kernel_by_hand() -> None:
    kernel = np.array([1.0, 2.0, 6.0]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(inflated(kernel, 4).ravel(), np.array([1.0, 2.0, 6.0, 3.0]) * 0.75)
