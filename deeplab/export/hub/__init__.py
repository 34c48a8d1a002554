"""Weights as other libraries load them: the way back of `deeplab.interop.hub`.

`conditions` refuses networks that a library does not have, `state_dict` turns variables into
tensors of PyTorch, `card` writes the README, `hugging_face` and `timm` know the files.
"""

from deeplab.export.hub import hugging_face, timm

__all__ = ["hugging_face", "timm"]
