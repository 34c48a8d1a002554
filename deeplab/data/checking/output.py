"""What a check leaves: check.json and report.html."""

from __future__ import annotations

import json
from pathlib import Path

from deeplab.data.checking.report import render_report
from deeplab.data.checking.result import CheckResult
from deeplab.files import make_directory, missing_folders, remove_empty, write_text


def check_json(result: CheckResult) -> str:
    """The text of check.json.

    {"ok": bool, "num_images": {split: n}, "class_pixels": {name: n}, "class_images": {name: n},
    "ignored_pixels": n, "mask_forms": {form: n}, "notes": [text], "problems": [{"kind", "file",
    "detail", "level": "error" or "warning"}]}. Counts are over all splits.
    """
    total = result.total
    content = {
        "ok": result.ok,
        "num_images": {name: tally.num_images for name, tally in result.splits.items()},
        "class_pixels": dict(zip(result.class_names, total.class_pixels.tolist(), strict=True)),
        "class_images": dict(zip(result.class_names, total.class_images.tolist(), strict=True)),
        "ignored_pixels": total.num_pixels - int(total.class_pixels.sum()),
        "mask_forms": dict(result.mask_forms),
        "notes": list(result.notes),
        "problems": [
            {
                "kind": problem.kind,
                "file": str(problem.file),
                "detail": problem.detail,
                "level": "warning" if problem.is_warning else "error",
            }
            for problem in result.problems
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def write_check(result: CheckResult, output_dir: Path) -> None:
    """Writes check.json and report.html into a folder, replacing those of an earlier check.

    Raises:
        DeepLabError: if the folder cannot be written.
    """
    texts = {"report.html": render_report(result), "check.json": check_json(result)}
    made = missing_folders(output_dir)
    try:
        make_directory(output_dir)
        for name, text in texts.items():
            write_text(output_dir / name, text)
    except BaseException:
        if made:  # a folder that is new is there with both files or not at all
            for name in texts:
                (output_dir / name).unlink(missing_ok=True)
        remove_empty(made)
        raise
