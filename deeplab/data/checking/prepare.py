"""Preparing two folders that lie anywhere: through a list, which every command takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deeplab.data.files.problems import refuse
from deeplab.data.prepared.dataset import PreparedDataset
from deeplab.data.prepared.load import load_dataset
from deeplab.data.sources.classes import ClassList, read_class_file
from deeplab.data.sources.folder import scan_two_folders
from deeplab.data.sources.pairs import Source
from deeplab.errors import DeepLabError
from deeplab.files import new_directory

LIST_NAME = "list.jsonl"
_CLASSES_NAME = "classes.json"


def prepare_folders(
    images: Path,
    labels: Path,
    classes: Path,
    output_dir: Path,
    *,
    data_dir: str | None = None,
    beam_flags: Sequence[str] | None = None,
) -> PreparedDataset:
    """Writes a list of the pairs of two folders and prepares the data set `folder` from it.

    Args:
        images: folder with .jpg, .jpeg or .png files, or those that more channels need; folders
            in it named as splits are splits.
        labels: folder with .png files of the same relative paths.
        classes: a class list, as of `read_class_file`.
        output_dir: gets `list.jsonl` and `classes.json`. It must be new or empty, or hold these
            two and nothing else.
        data_dir: as of `load_dataset`.
        beam_flags: as of `load_dataset`.

    Returns:
        The prepared data set, which `--source_dir=OUTPUT_DIR/list.jsonl` names from now on.

    Raises:
        DeepLabError: if a file cannot be used or a folder cannot be written; nothing is left then.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise DeepLabError(f"{output_dir} is not a folder")
    found = {path.name for path in output_dir.iterdir()} if output_dir.is_dir() else set()
    if found not in (set(), {LIST_NAME, _CLASSES_NAME}):
        raise DeepLabError(
            f"{output_dir} holds other files, such as {min(found)}: choose a new --output_dir"
        )
    source = scan_two_folders(images, images, labels, read_class_file(classes))
    refuse(source.problems)
    if source.note:
        print(f"{images}: {source.note}", flush=True)
    with new_directory(output_dir) as folder:
        (folder / LIST_NAME).write_text(_list_text(source), encoding="utf-8")
        (folder / _CLASSES_NAME).write_text(_classes_text(source.classes), encoding="utf-8")
        # Beside its later place, so that the copy is found there by the same relative paths.
        list_path = str(folder / LIST_NAME)
        try:
            return load_dataset(
                "folder", data_dir=data_dir, source_dir=list_path, beam_flags=beam_flags
            )
        except DeepLabError as error:  # nobody can look into a list that is gone
            raise DeepLabError(str(error).replace(list_path, str(labels))) from error


def _list_text(source: Source) -> str:
    rows = [
        {"image": str(pair.image.absolute()), "label": str(pair.label.absolute()), "split": split}
        for split, pairs in source.splits.items()
        for pair in pairs
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _classes_text(classes: ClassList) -> str:
    content: dict[str, object] = {"classes": list(classes.names), "ignore": classes.ignore}
    if classes.colors is not None:
        content["colors"] = [list(color) for color in classes.colors]
    if classes.channels != 3:
        content["channels"] = classes.channels
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
