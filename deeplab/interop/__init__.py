"""Readers of the weights that people already have."""

from deeplab.interop.import_model import import_model
from deeplab.interop.report import ImportReport
from deeplab.interop.sources import READERS, import_weights

__all__ = ["READERS", "ImportReport", "import_model", "import_weights"]
