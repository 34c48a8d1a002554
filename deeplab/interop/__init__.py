"""Readers of the weights that people already have."""

from deeplab.interop.cached_models import load_model, model_folder
from deeplab.interop.import_model import import_model
from deeplab.interop.report import ImportReport
from deeplab.interop.sources import SOURCES, import_weights

__all__ = [
    "SOURCES",
    "ImportReport",
    "import_model",
    "import_weights",
    "load_model",
    "model_folder",
]
