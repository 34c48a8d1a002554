"""Export of trained models, each compared with the Keras model before it is called done."""

import sys
from types import ModuleType

from deeplab.export.export import FORMATS, export
from deeplab.export.verify import Verification


class _CallableRoom(ModuleType):
    """`deeplab.export` is this folder and also the public function.

    Python binds the folder to that name as soon as anything in it is imported, so that the folder
    has to be callable for `deeplab.export(...)` to work at all times.
    """

    __call__ = staticmethod(export)


sys.modules[__name__].__class__ = _CallableRoom

__all__ = ["FORMATS", "Verification", "export"]
