"""`predict`: what a network sees in images, rasters and videos, written as files.

Nothing here imports TensorFlow: an exported LiteRT or ONNX file predicts without.
"""
