"""Running what was exported: images and class ids are numpy arrays, whatever runs the network.

`open_runtime` opens a file by the name of its runtime. What runs LiteRT and ONNX files imports
neither TensorFlow nor Keras nor TensorFlow Datasets.
"""
