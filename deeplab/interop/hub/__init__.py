"""Weights of the hubs of PyTorch: timm's Xception and Hugging Face's DeepLab of MobileNetV2.

`files` finds what lies in a folder of a hub, `safetensors_file` and `torch_file` read its tensors,
`layout` says how tensors of PyTorch lie in ours, `timm` and `hugging_face` know the networks.
"""

from deeplab.interop.hub import hugging_face, timm

__all__ = ["hugging_face", "timm"]
