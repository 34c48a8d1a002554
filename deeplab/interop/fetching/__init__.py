"""Weights from the network: files of servers, repositories of the Hugging Face Hub, the cache."""

from deeplab.interop.fetching.download import fetch_file
from deeplab.interop.fetching.fetched import Fetched, NoNetworkError

__all__ = ["Fetched", "NoNetworkError", "fetch_file"]
