"""Which variables learn at which rate."""

from __future__ import annotations

import dataclasses

import pytest

import deeplab
from deeplab.training.config import OptimizerConfig
from deeplab.training.optimization.parameter_groups import learning_rate_multipliers


def test_groups_of_variables() -> None:
    model = deeplab.deeplab_v3_plus("mobilenet_v3_small", num_classes=3, atrous_rates=(1,))
    config = OptimizerConfig(
        backbone_lr_multiplier=0.1, last_layer_lr_multiplier=10.0, bias_lr_multiplier=3.0
    )
    found = learning_rate_multipliers(model, config)
    assert found["backbone/conv/kernel"] == 0.1
    assert found["backbone/expanded_conv/squeeze_excite/conv/bias"] == pytest.approx(0.3)
    assert found["backbone/conv/batch_norm/beta"] == 0.1
    assert found["aspp/conv1/depthwise/kernel"] == found["logits/kernel"] == 10.0
    assert found["logits/bias"] == 30.0

    logits = dataclasses.replace(config, last_layers_contain_logits_only=True)
    found = learning_rate_multipliers(model, logits)
    assert (found["aspp/conv1/depthwise/kernel"], found["logits/kernel"]) == (1.0, 10.0)

    for kind, bias in (("sgd", 2.0), ("adamw", 1.0)):
        found = learning_rate_multipliers(model, OptimizerConfig(kind))
        assert {path: m for path, m in found.items() if m != 1.0} == {
            path: bias for path in found if path.endswith("/bias") and bias != 1.0
        }

    lite = deeplab.deeplab_v3_plus(
        "mobilenet_v3_small",
        num_classes=3,
        atrous_rates=(),
        decoder_outputs_logits=True,
        decoder_merge="sum",
        decoder_channels=3,
    )
    with pytest.raises(deeplab.DeepLabError, match="no variable .* layer named 'logits'"):
        learning_rate_multipliers(lite, logits)
