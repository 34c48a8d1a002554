"""The network: backbones, ASPP, decoder. Knows nothing of data sets, files or training."""

from deeplab.models.backbones import BACKBONES, Backbone
from deeplab.models.batch_norm import BatchNorm
from deeplab.models.classifier import build_classifier, classifier_variables
from deeplab.models.config import OUTPUT_STRIDES, ModelConfig
from deeplab.models.deeplab_v3_plus import (
    DeepLabModel,
    at_output_stride,
    build_model,
    deeplab_v3_plus,
    float_network,
    intermediates,
    scale_logits,
    with_input_channels,
    with_num_classes,
)
from deeplab.models.inference_network import FoldedFunction, InferenceNetwork
from deeplab.models.inflate import inflated, is_inflatable
from deeplab.models.memory import RESERVED, TrainingMemory, training_memory
from deeplab.models.multiply_adds import multiply_adds, parameters
from deeplab.models.quantization import QuantConfig, with_fixed_ranges
from deeplab.models.rematerialization import rematerialized
from deeplab.models.resize import ALIGN_CORNERS, RESIZES, resize_bilinear, source_positions
from deeplab.models.variables import decayed_variables, variables_by_path

__all__ = [
    "ALIGN_CORNERS",
    "BACKBONES",
    "OUTPUT_STRIDES",
    "RESERVED",
    "RESIZES",
    "TrainingMemory",
    "Backbone",
    "BatchNorm",
    "DeepLabModel",
    "FoldedFunction",
    "InferenceNetwork",
    "ModelConfig",
    "QuantConfig",
    "at_output_stride",
    "build_classifier",
    "build_model",
    "classifier_variables",
    "decayed_variables",
    "deeplab_v3_plus",
    "float_network",
    "inflated",
    "intermediates",
    "is_inflatable",
    "multiply_adds",
    "parameters",
    "rematerialized",
    "resize_bilinear",
    "scale_logits",
    "source_positions",
    "training_memory",
    "variables_by_path",
    "with_fixed_ranges",
    "with_input_channels",
    "with_num_classes",
]
