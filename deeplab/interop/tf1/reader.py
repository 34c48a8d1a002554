"""Reads checkpoints and frozen graphs of the original."""

from __future__ import annotations

from functools import partial

from deeplab.interop.loading import Found, Request
from deeplab.interop.tf1 import ade20k
from deeplab.interop.tf1.file import open_variables
from deeplab.interop.tf1.network import read_network_flags
from deeplab.interop.tf1.recognize import parts_to_load, recognize


def read(request: Request) -> Found:
    """The network in a checkpoint or a frozen graph.

    Args:
        request: its path is the prefix of the checkpoint, or a .pb file. Its flags decide what
            names and shapes of the variables cannot tell.

    Raises:
        DeepLabError: if the file cannot be read, or holds another network than told.
    """
    flags = read_network_flags(request.original_flags)
    given = dict(flags.network)
    if request.output_stride is not None:
        # Beside flags with a stride of their own it is another one, at which the rates scale.
        given.setdefault("output_stride", request.output_stride)
    file = open_variables(request.path)
    file, lines = ade20k.without_unwanted(file, request, given)
    if silent := (*flags.without_effect, *flags.protocol):
        lines += (f"without effect on the network: {', '.join(f'--{name}' for name in silent)}",)
    skip, backbone_only = request.skip, request.backbone_only
    parts = partial(parts_to_load, file=file, skip=skip, backbone_only=backbone_only)
    if request.config is not None:
        return Found(request.config, lines, file, parts)
    found = recognize(
        file, given, skip=skip, backbone_only=backbone_only, num_classes=request.fresh_classes
    )
    return Found(found.config, (*found.lines, *lines), file, parts)
