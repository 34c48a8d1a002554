"""The weights that keras.applications downloads, and their MD5 sums as Keras publishes them.

Source: keras/src/applications/resnet.py (BASE_WEIGHTS_PATH, WEIGHTS_HASHES) and mobilenet_v2.py
(BASE_WEIGHT_PATH), Keras 3.15.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from deeplab.errors import unknown_name
from deeplab.interop.fetching.download import fetch_file
from deeplab.interop.fetching.fetched import Fetched

_VARIABLE = "DEEPLAB_KERAS_URL"
_SERVER = "https://storage.googleapis.com/tensorflow/keras-applications/"


class KerasFile(NamedTuple):
    """A file of weights.

    Attributes:
        path: on the server.
        md5: its sum; None: Keras publishes none.
    """

    path: str
    md5: str | None = None


_RESNET = "resnet/{}_weights_tf_dim_ordering_tf_kernels.h5"
_MOBILENET_V2 = "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"
# Name in keras.applications -> the file with its classifier, which `--keep_classifier` may want.
KERAS_FILES: dict[str, KerasFile] = {
    "MobileNetV2": KerasFile(_MOBILENET_V2),
    "ResNet50": KerasFile(_RESNET.format("resnet50"), "2cb95161c43110f7111970584f804107"),
    "ResNet101": KerasFile(_RESNET.format("resnet101"), "f1aeb4b969a6efcfb50fad2f0c20cfc5"),
}


def fetch(name: str) -> Fetched:
    """Downloads the weights of a network of keras.applications, unless they have been before.

    Args:
        name: a key of `KERAS_FILES`, in any case.

    Raises:
        DeepLabError: for another name, or if they cannot be downloaded.
    """
    names = {known.lower(): known for known in KERAS_FILES}
    if name.lower() not in names:
        raise unknown_name("network of keras.applications", name, KERAS_FILES)
    file = KERAS_FILES[names[name.lower()]]
    server = os.environ.get(_VARIABLE) or _SERVER
    return Fetched(fetch_file(server, file.path, source="keras_applications", md5=file.md5))
