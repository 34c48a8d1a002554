"""A training run of seconds."""

from __future__ import annotations

import deeplab

MODEL = deeplab.ModelConfig(
    "mobilenet_v2",
    depth_multiplier=0.35,
    atrous_rates=(2,),
    aspp_channels=16,
    decoder_channels=16,
    dropout_rate=0.2,
    backbone_batch_norm_momentum=0.9,
    head_batch_norm_momentum=0.9,
)
CONFIG = deeplab.TrainConfig(
    model=MODEL,
    data=deeplab.DataConfig(dataset="folder", crop_size=33),
    optimizer=deeplab.OptimizerConfig("sgd", 0.01),
    train_steps=4,
    global_batch_size=4,
    checkpoint_steps=2,
    log_steps=1,
)
