"""The models that the original's authors released (its model zoo), by their names."""

from deeplab.interop.model_zoo.fetch import fetch
from deeplab.interop.model_zoo.reader import read
from deeplab.interop.model_zoo.rows import ROWS, listing

__all__ = ["ROWS", "fetch", "listing", "read"]
