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


# Backbones that give the strided features at every second pixel of the dense ones, by the sizes of
# images at which they do. TensorFlow's "same" padding of a strided convolution moves the grid at
# even sizes, so that MobileNets do at odd ones only. Not here: MobileNetV3, as squeeze-and-excite
# averages over another grid at another stride, and the searched backbones, whose resolutions are
# part of the architecture.
ODD, EVEN = (65, 97), (64, 96)
SIZES = {
    "mobilenet_v2": [ODD],
    "mobilenet_edgetpu": [ODD],
    "resnet_18": [ODD, EVEN],
    "resnet_18_beta": [ODD, EVEN],
    "resnet_50": [ODD, EVEN],
    "resnet_50_beta": [ODD, EVEN],
    "resnet_101": [ODD, EVEN],
    "resnet_101_beta": [ODD, EVEN],
    "resnet_50_keras": [ODD, EVEN],
    "resnet_101_keras": [ODD, EVEN],
    "xception_41": [ODD, EVEN],
    "xception_41p": [ODD, EVEN],
    "xception_65": [ODD, EVEN],
    "xception_65p": [ODD, EVEN],
    "xception_71": [ODD, EVEN],
}
QUICK = ("mobilenet_v2", "resnet_18")
WITHOUT_HEAD = {"num_classes": 2, "aspp": False, "atrous_rates": (), "decoder": False}


def check_dense_features_hold_the_strided_ones(
    sizes: list[tuple[int, int]], **settings: object
) -> None:
    strided = deeplab.deeplab_v3_plus(output_stride=32, **WITHOUT_HEAD, **settings)
    for output_stride in (16, 8):
        dense = at_output_stride(strided, output_stride)
        assert [w.path for w in dense.weights] == [w.path for w in strided.weights]
        step = 32 // output_stride
        for size in sizes:
            images = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype(np.float32)
            coarse = deeplab.intermediates(strided)(images)["high_level"].numpy()
            fine = deeplab.intermediates(dense)(images)["high_level"].numpy()
            difference = np.abs(fine[:, ::step, ::step] - coarse).max()
            assert difference <= 1e-4 * np.abs(coarse).max(), size


@pytest.mark.parametrize(
    "backbone",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(SIZES)],
)
def test_dense_features_hold_the_strided_ones(backbone: str) -> None:
    check_dense_features_hold_the_strided_ones(SIZES[backbone], backbone=backbone)


@pytest.mark.slow
def test_dense_features_hold_the_strided_ones_with_options() -> None:
    check_dense_features_hold_the_strided_ones(
        [ODD, EVEN], backbone="resnet_50_beta", multi_grid=(1, 2, 4)
    )
    # Bounded activations come with the other padding.
    check_dense_features_hold_the_strided_ones(
        [ODD], backbone="xception_41", multi_grid=(1, 2, 4), bounded_activation=True
    )


def test_other_variables_at_another_stride() -> None:
    config = deeplab.ModelConfig("pnasnet", num_classes=3)
    assert config.at_output_stride(16) == config
    with pytest.raises(deeplab.DeepLabError, match="pnasnet has other variables at output stride"):
        config.at_output_stride(8)
    with pytest.raises(deeplab.DeepLabError, match="hnasnet has no output_stride 16; choices: 8"):
        deeplab.ModelConfig("hnasnet", output_stride=8).at_output_stride(16)


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
