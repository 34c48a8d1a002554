"""Whether a JPEG file has an end that decoders can reach.

Pillow does without the end of a file once it has all rows, TensorFlow's decoder does not.

Source of the format: ITU-T T.81, annex B.1.1.
"""

from __future__ import annotations

import re

_END = 0xD9
# In the pixels a marker is neither a stuffed byte, nor a restart, nor a filling.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")


def has_end(data: bytes) -> bool:
    """Whether the markers of a file lead to the one that ends it.

    Args:
        data: the file's bytes, which begin with the marker of a JPEG file.
    """
    place = 2
    while found := _MARKER.search(data, place):
        if found[1][0] == _END:
            return True
        # Behind the segment of the marker; pixels may follow, up to the next one.
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return False
