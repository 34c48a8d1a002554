"""Masks in every form that a source may have, as class ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from deeplab.data.files.masks import IdRule, Labels, Mask, decode_mask, listed
from deeplab.data.files.problems import FileError, Problem
from deeplab.data.files.sbd import read_sbd_mask
from deeplab.errors import DeepLabError


def examine_mask(
    data: bytes, path: Path, rule: IdRule, stored_ids: Mapping[int, int] | None = None
) -> Mask:
    """Decodes a mask; its ids are class ids that are not compared with the classes yet.

    Args:
        data: the bytes of the file, or of the mask in a record.
        path: a PNG file, a .mat file of the Semantic Boundaries Dataset, or what the record is
            called.
        rule: what colours mean.
        stored_ids: class id of each id that the mask may hold; None: it holds class ids.

    Raises:
        FileError: if it cannot be read, or holds other ids than the stored ones.
    """
    if path.suffix == ".mat":
        try:
            mask = Mask(read_sbd_mask(path), "mat")
        except DeepLabError as error:
            raise FileError(Problem("unreadable", path, str(error)), str(error)) from error
    else:
        # The colours of a data set with ids of its own are not those of its class ids.
        mask = decode_mask(data, path, None if stored_ids else rule.colors)
    if stored_ids is None:
        return mask
    return dataclasses.replace(mask, ids=class_ids(mask.ids, stored_ids, path))


def class_ids(mask: Labels, stored_ids: Mapping[int, int], path: Path) -> Labels:
    """Turns the ids that a mask stores into class ids.

    Args:
        mask: [H, W], as read.
        stored_ids: class id, or the ignored one, of each id that may be stored.
        path: where it came from, for the message.

    Returns:
        uint8 [H, W].

    Raises:
        FileError: if it holds other ids.
    """
    found = np.flatnonzero(np.bincount(mask.ravel(), minlength=1)).tolist()
    unknown = [stored for stored in found if stored not in stored_ids]
    if unknown:
        detail = f"holds the ids {listed(unknown)}, which are none of this data set"
        raise FileError(Problem("id_out_of_range", path, detail), f"the mask {path} {detail}")
    table = np.zeros(max(found, default=0) + 1, np.uint8)
    table[found] = [stored_ids[stored] for stored in found]
    labels: Labels = table[mask]
    return labels
