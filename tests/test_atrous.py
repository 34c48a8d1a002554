"""The table of strides and rates, by hand, and same weights at another output stride."""

import numpy as np
import pytest

import deeplab
from deeplab.models import at_output_stride
from deeplab.models.atrous import atrous_units

# A network with strides 2, 2, 2, 1, 2, 1 behind a stem of stride 2: 32 in all.
NOMINAL = (2, 2, 2, 1, 2, 1)


@pytest.mark.parametrize(
    ("output_stride", "strides", "rates"),
    [
        (8, [2, 2, 1, 1, 1, 1], [1, 1, 1, 2, 2, 4]),
        (16, [2, 2, 2, 1, 1, 1], [1, 1, 1, 1, 1, 2]),
        (32, [2, 2, 2, 1, 2, 1], [1, 1, 1, 1, 1, 1]),
    ],
)
def test_strides_and_rates(output_stride: int, strides: list[int], rates: list[int]) -> None:
    units = atrous_units(NOMINAL, output_stride=output_stride, stem_stride=2)
    assert [unit.stride for unit in units] == strides
    assert [unit.rate for unit in units] == rates


# Small enough to be quick: an odd size keeps the grids of all strides aligned.
SIZE = 65


@pytest.mark.parametrize("backbone", sorted(deeplab.BACKBONES))
def test_dense_features_hold_the_strided_ones(backbone: str) -> None:
    settings = {"backbone": backbone, "num_classes": 4, "atrous_rates": (1,), "aspp_channels": 8}
    strided = deeplab.deeplab_v3_plus(output_stride=32, **settings)
    images = np.random.default_rng(0).uniform(0, 255, (1, SIZE, SIZE, 3)).astype(np.float32)
    coarse = deeplab.intermediates(strided)(images)["high_level"].numpy()
    for output_stride in (16, 8):
        dense = deeplab.deeplab_v3_plus(output_stride=output_stride, **settings)
        assert [w.path for w in dense.weights] == [w.path for w in strided.weights]
        dense.set_weights(strided.get_weights())
        fine = deeplab.intermediates(dense)(images)["high_level"].numpy()
        step = 32 // output_stride
        difference = np.abs(fine[:, ::step, ::step] - coarse).max()
        assert difference <= 1e-4 * np.abs(coarse).max()


def test_rates_scale_with_the_output_stride() -> None:
    config = deeplab.ModelConfig("mobilenet_v2", num_classes=3, atrous_rates=(6, 12))
    assert config.at_output_stride(8).atrous_rates == (12, 24)
    assert config.at_output_stride(32).atrous_rates == (3, 6)
    assert deeplab.ModelConfig(output_stride=8).resolved_atrous_rates == (12, 24, 36)
    assert deeplab.ModelConfig(output_stride=32).resolved_atrous_rates == (3, 6, 9)
    odd = deeplab.ModelConfig(atrous_rates=(5,))
    with pytest.raises(deeplab.DeepLabError, match="no whole numbers at output stride 32"):
        odd.at_output_stride(32)


def test_copy_at_another_stride_shares_nothing_but_values() -> None:
    model = deeplab.deeplab_v3_plus("mobilenet_v2", num_classes=3, depth_multiplier=0.35)
    copy = at_output_stride(model, 8)
    assert copy.model_config.output_stride == 8
    for ours, theirs in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
