"""Looking at everything a data set holds before it is trained on."""

from deeplab.data.checking.check import check_folders, check_named
from deeplab.data.checking.prepare import prepare_folders
from deeplab.data.checking.report import check_json, render_check, render_statistics, write_check
from deeplab.data.checking.result import CheckResult, class_weights, known_split, weights_binding

__all__ = [
    "CheckResult",
    "check_folders",
    "check_json",
    "check_named",
    "class_weights",
    "known_split",
    "prepare_folders",
    "render_check",
    "render_statistics",
    "weights_binding",
    "write_check",
]
