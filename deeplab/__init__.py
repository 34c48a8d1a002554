"""DeepLabv3+ for TensorFlow 2 and Keras 3 (Chen et al., 2018, arXiv 1802.02611).

Importing this package is cheap: TensorFlow is imported when something that needs it is first used
(PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from deeplab.keras_backend import require_channels_last, require_tensorflow

__version__ = "0.1.0"

# The public names by the module that defines them. The same list as the imports below, which are
# there for type checkers and editors.
_PUBLIC = {
    "deeplab.data": ("AugmentConfig", "DATASETS", "DataConfig"),
    "deeplab.errors": ("DeepLabError",),
    "deeplab.evaluation": ("evaluate", "predict"),
    "deeplab.export": ("export",),
    "deeplab.interop": ("import_weights", "load_model"),
    "deeplab.models": (
        "BACKBONES",
        "ModelConfig",
        "QuantConfig",
        "build_model",
        "deeplab_v3_plus",
        "intermediates",
    ),
    "deeplab.training": ("LossConfig", "OptimizerConfig", "ScheduleConfig", "TrainConfig", "train"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [
    "BACKBONES",
    "DATASETS",
    "AugmentConfig",
    "DataConfig",
    "DeepLabError",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "QuantConfig",
    "ScheduleConfig",
    "TrainConfig",
    "build_model",
    "deeplab_v3_plus",
    "evaluate",
    "export",
    "import_weights",
    "intermediates",
    "load_model",
    "predict",
    "train",
]

if TYPE_CHECKING:
    from deeplab.data import DATASETS, AugmentConfig, DataConfig
    from deeplab.errors import DeepLabError
    from deeplab.evaluation import evaluate, predict
    from deeplab.export.export import export
    from deeplab.interop import import_weights, load_model
    from deeplab.models import BACKBONES, ModelConfig, QuantConfig, build_model, intermediates
    from deeplab.models.deeplab_v3_plus import deeplab_v3_plus
    from deeplab.training import LossConfig, OptimizerConfig, ScheduleConfig, TrainConfig
    from deeplab.training.train import train


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'deeplab' has no attribute {name!r}")
    # Predicting from an exported file does without TensorFlow.
    if name not in ("DeepLabError", "predict"):
        require_tensorflow()
        require_channels_last()
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
