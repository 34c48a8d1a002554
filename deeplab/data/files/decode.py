"""Decoding by TensorFlow: of what records hold, and of what they are to hold."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def decode_image(data: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Decodes a JPEG or PNG file, or what `images.png` made of an image.

    Args:
        data: string scalar.
        channels: 3 for the files; of the image that was packed.

    Returns:
        uint8 [H, W, channels], of 3 channels RGB. The same pixels as Pillow and OpenCV give:
        TensorFlow's default decoding of JPEG is faster and differs from theirs by up to 19 levels.
    """
    if channels != 3:
        rows = tf.io.decode_png(data, channels=1)
        height, columns = tf.unstack(tf.shape(rows)[:2])
        return tf.reshape(rows, [height, columns // channels, channels])
    # The operation takes PNG too, whatever its name says.
    image = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    image.set_shape([None, None, 3])
    return image


def decode_image_part(
    data: tf.Tensor, source: tf.Tensor, begin: tf.Tensor, end: tf.Tensor, channels: int = 3
) -> tf.Tensor:
    """Decodes a rectangle of an image; of a JPEG file little more than the rectangle.

    Args:
        data: string scalar.
        source: int32 [2], height and width of the image.
        begin: int32 [2], the first row and column.
        end: int32 [2], the row and the column after the last ones.
        channels: as of `decode_image`.

    Returns:
        uint8 [end[0] - begin[0], end[1] - begin[1], channels], the same pixels as `decode_image`
        gives.
    """

    def jpeg() -> tf.Tensor:
        # Halved chroma is interpolated from both sides: at the borders of what is decoded a column
        # lacks its neighbor, so one more is decoded. Rows are exact by themselves.
        left = tf.maximum(begin[1] - 1, 0)
        right = tf.minimum(end[1] + 1, source[1])
        rectangle = tf.stack([begin[0], left, end[0] - begin[0], right - left])
        part = tf.io.decode_and_crop_jpeg(
            data, rectangle, channels=3, dct_method="INTEGER_ACCURATE"
        )
        return part[:, begin[1] - left : end[1] - left]

    def png() -> tf.Tensor:
        return decode_image(data, channels)[begin[0] : end[0], begin[1] : end[1]]

    part = tf.cond(tf.io.is_jpeg(data), jpeg, png) if channels == 3 else png()
    part.set_shape([None, None, channels])
    return part


def image_size(data: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """Height and width of an undecoded image, as `decode_image` takes it, int32 [2]."""
    if channels != 3:
        return tf.reverse(_png_size(data), [0]) // [1, channels]
    return tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.extract_jpeg_shape(data)[:2],
        lambda: tf.reverse(_png_size(data), [0]),
    )


def _png_size(data: tf.Tensor) -> tf.Tensor:
    """Width and height, int32 [2]; they stand at a fixed place, as big-endian numbers."""
    return tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)


def decode_label(data: tf.Tensor, label_map: Sequence[int] | None = None) -> tf.Tensor:
    """Decodes a gray index PNG, as preparation stores it.

    Args:
        data: string scalar, 8 or 16 bit.
        label_map: what the ids 0..255 become; None: they stay.

    Returns:
        int32 [H, W] of class ids and the ignored id.
    """
    wide = tf.equal(tf.strings.substr(data, 24, 1), b"\x10")  # the bit depth in a PNG file
    label = tf.cond(
        wide,
        lambda: tf.cast(decode_stored_label(data, tf.uint16), tf.int32),
        lambda: tf.cast(decode_stored_label(data, tf.uint8), tf.int32),
    )
    label.set_shape([None, None])
    return class_ids(label, label_map)


def decode_stored_label(data: tf.Tensor, label_type: tf.DType) -> tf.Tensor:
    """Decodes a gray index PNG whose type is known: [H, W] of that type, ids as they are stored."""
    label = tf.squeeze(tf.io.decode_png(data, channels=1, dtype=label_type), -1)
    label.set_shape([None, None])
    return label


def class_ids(label: tf.Tensor, label_map: Sequence[int] | None) -> tf.Tensor:
    """Turns stored ids, int32 of any shape, into class ids and the ignored id."""
    return label if label_map is None else tf.gather(tf.constant(label_map, tf.int32), label)


def label_size_key(data: tf.Tensor) -> tf.Tensor:
    """Width and height of an undecoded label as one int64 number, equal for equal sizes."""
    return tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int64)[0]


def check_png(data: bytes) -> None:
    """Makes sure that TensorFlow decodes a PNG file, which Pillow may do where rows are missing.

    Args:
        data: the file's bytes, of any color type and bit depth.

    Raises:
        ValueError: if it does not; the message does not name the file.
    """
    try:
        tf.io.decode_png(data)
    except tf.errors.OpError as error:
        raise ValueError(
            "the file is damaged, truncated or more than a million pixels wide or high: "
            "TensorFlow cannot decode it"
        ) from error
