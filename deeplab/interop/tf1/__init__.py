"""Weights of the original TensorFlow 1 code (research/deeplab).

Its files are read by `reader`; what its programs do with the same flags is in `programs`.
"""

from deeplab.interop.tf1.programs import model_from_flags, predict_labels, protocol_from_flags
from deeplab.interop.tf1.reader import read

__all__ = ["model_from_flags", "predict_labels", "protocol_from_flags", "read"]
