"""Export of trained models, each compared with the Keras model before it is called done."""

from deeplab.export.export import FORMATS, export
from deeplab.export.verify import Verification

__all__ = ["FORMATS", "Verification", "export"]
