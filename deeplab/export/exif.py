"""The orientation that an image file states, read and applied by operations of TensorFlow.

So a served model does what readers of files do elsewhere: cameras store pictures as the sensor lies
and say in EXIF how to turn them. A file may come from anybody: what is damaged, truncated or
contradictory counts as upright, and no header takes long.

Sources: ITU-T T.81 annex B (segments of JPEG), PNG third edition section 5 and 11.3.4.4 (chunks,
eXIf), EXIF 2.32 section 4.5.4 (APP1) and 4.6.4 (the tag Orientation), TIFF 6.0 section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_HEAD = 2**20  # bytes in which EXIF must stand; it takes at most 64 kB and comes first
_MOST_BLOCKS = 256  # segments or chunks that are looked at
_LOOKED_AT = 12  # bytes of a block that decide what it is

_TAG, _SHORT, _LONG = 0x0112, 3, 4
_ENTRY = 12  # bytes of an entry of a TIFF directory: tag, type, count, value
_UPRIGHT = 1

Predicate = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class _Layout(NamedTuple):
    """How the blocks of a kind of file follow each other.

    Attributes:
        start: place of the first block, in bytes.
        step: bytes, place of a block -> its length, 0 where there is no further one.
        is_exif: bytes, place of a block -> whether it is the one of EXIF.
        before: bytes of that block before its TIFF data.
        after: bytes behind them.
    """

    start: int
    step: Predicate
    is_exif: Predicate
    before: int
    after: int


def orientation(data: tf.Tensor) -> tf.Tensor:
    """What a JPEG or PNG file says of how to turn it.

    Args:
        data: the file, a string scalar.

    Returns:
        An int64 scalar from 1 to 8; 1, upright, if it says nothing that can be read.
    """
    head = tf.io.decode_raw(tf.strings.substr(data, 0, _HEAD), tf.uint8)
    head = _zeros_behind(head, _LOOKED_AT)
    tiff = tf.cond(
        tf.io.is_jpeg(data), lambda: _exif_data(head, _JPEG), lambda: _exif_data(head, _PNG)
    )
    return _orientation_of(_zeros_behind(tiff, 8))


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image [H,W,C] as its orientation says, as Pillow's `exif_transpose`."""

    def is_any_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values, tf.int64))

    turned = tf.cond(is_any_of(5, 6, 7, 8), lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    flipped = tf.stack([is_any_of(3, 4, 7, 8), is_any_of(2, 3, 6, 7)])
    upright = tf.reverse(turned, tf.boolean_mask(tf.constant([0, 1]), flipped))
    upright.set_shape([None, None, image.shape[-1]])
    return upright


def _exif_data(head: tf.Tensor, layout: _Layout) -> tf.Tensor:
    """The bytes of the TIFF file that EXIF data are; none if there are none."""
    last = tf.size(head, tf.int64) - _LOOKED_AT
    (place,) = tf.while_loop(
        lambda at: ~layout.is_exif(head, at) & (layout.step(head, at) > 0),
        lambda at: (tf.minimum(at + layout.step(head, at), last),),
        (tf.minimum(tf.constant(layout.start, tf.int64), last),),
        maximum_iterations=_MOST_BLOCKS,
    )
    end = tf.where(layout.is_exif(head, place), layout.step(head, place) - layout.after, 0)
    return head[place + layout.before : place + end]


def _orientation_of(tiff: tf.Tensor) -> tf.Tensor:
    order = _bytes(tiff, 0, 2)
    little = tf.reduce_all(order == list(b"II"))
    is_tiff = little | tf.reduce_all(order == list(b"MM"))
    is_tiff &= _number(tiff, 2, 2, little) == 42
    directory = _zeros_behind(tiff[_number(tiff, 4, 4, little) :], 2)
    entries = directory[2 : 2 + _ENTRY * _number(directory, 0, 2, little)]
    entries = tf.reshape(entries[: tf.size(entries) // _ENTRY * _ENTRY], [-1, _ENTRY])
    tags, types = (_number(entries, at, 2, little) for at in (0, 2))
    is_short, is_long = types == _SHORT, types == _LONG
    is_one = _number(entries, 4, 4, little) == 1
    values = tf.where(is_short, _number(entries, 8, 2, little), _number(entries, 8, 4, little))
    values = values[(tags == _TAG) & is_one & (is_short | is_long) & is_tiff]
    # The last one counts, as for Pillow.
    value = tf.concat([[_UPRIGHT], values], 0)[-1]
    return tf.where((value >= 1) & (value <= 8), value, _UPRIGHT)


def _number(
    data: tf.Tensor, at: int | tf.Tensor, width: int, little: bool | tf.Tensor = False
) -> tf.Tensor:
    """The unsigned numbers of some bytes that stand at a place in each row, int64."""
    found = _bytes(data, at, width)
    found = tf.where(little, tf.reverse(found, [-1]), found)
    places = [256**place for place in reversed(range(width))]
    return tf.reduce_sum(tf.cast(found, tf.int64) * places, -1)


def _bytes(data: tf.Tensor, at: int | tf.Tensor, width: int) -> tf.Tensor:
    return tf.gather(data, at + tf.range(width, dtype=tf.int64), axis=-1)


def _zeros_behind(data: tf.Tensor, count: int) -> tf.Tensor:
    """So that what is read at a fixed place is there."""
    return tf.pad(data, [[0, count]])


def _jpeg_step(head: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    first, marker = head[at], head[at + 1]
    # Any number of bytes 0xff may stand before a marker. Behind 0xda the picture begins.
    step = tf.where(marker == 0xFF, tf.constant(1, tf.int64), 2 + _number(head, at + 2, 2))
    return tf.where((first == 0xFF) & (marker != 0xDA), step, 0)


def _png_step(head: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    return 12 + _number(head, at, 4)  # with its length, kind and checksum


def _stands_at(text: bytes, offset: int) -> Predicate:
    return lambda head, at: tf.reduce_all(_bytes(head, at + offset, len(text)) == list(text))


_APP1 = _stands_at(b"\xff\xe1", 0)
_EXIF = _stands_at(b"Exif\0\0", 4)
_JPEG = _Layout(
    start=2,
    step=_jpeg_step,
    is_exif=lambda head, at: _APP1(head, at) & _EXIF(head, at),
    before=10,
    after=0,
)
_PNG = _Layout(start=8, step=_png_step, is_exif=_stands_at(b"eXIf", 4), before=8, after=4)
