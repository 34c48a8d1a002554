"""Showing a network every image in one size."""

from __future__ import annotations

import numpy as np
import pytest

from deeplab.errors import DeepLabError
from deeplab.runtimes.padding import padded

COLOR = (10.0, 20.0, 127.5)


@pytest.mark.parametrize(("kind", "blue"), [(np.float32, 127.5), (np.uint8, 128)])
def test_padding_surrounds_the_image_and_is_cropped_away(kind: type, blue: float) -> None:
    seen = []

    def classes(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return images[..., 0]

    images = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 3)).astype(kind)
    assert np.array_equal(padded(classes, (5, 8), COLOR)(images), images[..., 0])
    assert seen[0].shape == (1, 5, 8, 3) and seen[0].dtype == kind
    assert np.array_equal(seen[0][:, :3, :4], images)
    assert (seen[0][:, 3:] == (10, 20, blue)).all()
    assert (seen[0][:, :, 4:] == (10, 20, blue)).all()


def test_an_image_larger_than_the_padding_is_refused() -> None:
    with pytest.raises(DeepLabError, match="6x4 pixels .* larger than pad_to 5x8"):
        padded(np.asarray, (5, 8), COLOR)(np.zeros((1, 6, 4, 3), np.uint8))
