"""Weights of Keras: keras.applications, and the DeepLabv3+ of keras.io's examples."""

from deeplab.interop.keras import applications, keras_io

__all__ = ["applications", "keras_io"]
