"""Masks of the Semantic Boundaries Dataset, which are MATLAB files.

B. Hariharan et al., Semantic contours from inverse detectors, ICCV 2011: benchmark_RELEASE/dataset
has img/, cls/ (one .mat file an image) and the lists train.txt and val.txt.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from deeplab.data.files.masks import Labels
from deeplab.errors import DeepLabError


def require_scipy(path: Path) -> None:
    """Refuses .mat files where SciPy is missing.

    Args:
        path: one of them, for the message.

    Raises:
        DeepLabError: if it is.
    """
    if importlib.util.find_spec("scipy") is None:
        raise DeepLabError(
            f"{path} is a MATLAB file, and reading it needs SciPy: pip install 'deeplab[sbd]'"
        )


def read_sbd_mask(path: Path) -> Labels:
    """Reads a mask of cls/.

    Returns:
        Class ids of PASCAL VOC, uint8 [H, W].

    Raises:
        DeepLabError: if SciPy is missing, or the file is no such mask.
    """
    require_scipy(path)
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        mask = np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0])
    except KeyError as error:
        raise DeepLabError(f"{path} has no {error.args[0]}: it is no mask of SBD's cls/") from error
    except (OSError, ValueError, TypeError, IndexError, NotImplementedError, MatReadError) as error:
        raise DeepLabError(f"cannot read the mask {path}: {error}") from error
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise DeepLabError(
            f"{path} holds {mask.dtype} {list(mask.shape)}, expected a mask of uint8 [H, W]"
        )
    return mask
