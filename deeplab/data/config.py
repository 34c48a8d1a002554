"""`DataConfig`: which data set, and how its images are augmented."""

from __future__ import annotations

import dataclasses

from deeplab import checks
from deeplab.data.datasets import DATASETS
from deeplab.errors import DeepLabError, unknown_name


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which data, and how it is augmented. Defaults of the augmentation are the original's.

    Attributes:
        dataset: a key of `DATASETS`.
        crop_size: height and width of training images in pixels, or one number for both.
        train_split: the split to train on; None: the data set's.
        eval_split: the split to evaluate on; None: the data set's.
        min_scale: least factor of the random scale, above 0.
        max_scale: greatest factor.
        scale_step: distance of the factors; 0: any factor between the two.
        flip_probability: how often images are mirrored, 0..1.
        eval_batch_size: greatest number of images of a batch at evaluation.
        cache: what of the training split is kept in memory: 'none'; 'encoded', the files, for
            data that is far away; 'decoded', the pixels, for small sets. It changes no batch.
        cache_gigabytes: how much memory that may take, in 10^9 bytes.
        shard: what workers share: 'position', every worker reads its positions of one global
            sequence, so that batches do not depend on the number of workers; 'file', every worker
            reads files of its own in an order of its own, so that they do. For one worker both
            are the same.

    Raises:
        DeepLabError: on construction, if a value has the wrong type or is out of range.
    """

    dataset: str = "shapes"
    crop_size: int | tuple[int, int] = 513
    train_split: str | None = None
    eval_split: str | None = None
    min_scale: float = 0.5
    max_scale: float = 2.0
    scale_step: float = 0.25
    flip_probability: float = 0.5
    eval_batch_size: int = 1
    cache: str = "none"
    cache_gigabytes: float = 4.0
    shard: str = "position"

    def __post_init__(self) -> None:
        """Checks every value."""
        if not isinstance(self.dataset, str) or self.dataset not in DATASETS:
            raise unknown_name("data set", self.dataset, DATASETS)
        given = self.crop_size if isinstance(self.crop_size, tuple | list) else (self.crop_size,)
        sides = checks.integers("crop_size", given, minimum=1)
        if isinstance(self.crop_size, tuple | list):
            if len(sides) != 2:
                raise DeepLabError(
                    f"crop_size must be N or (height, width), not {self.crop_size!r}"
                )
            object.__setattr__(self, "crop_size", sides)  # JSON and gin have lists
        for name in ("train_split", "eval_split"):
            if getattr(self, name) is not None:
                checks.text(name, getattr(self, name))
        checks.number("min_scale", self.min_scale, above=0)
        checks.number("max_scale", self.max_scale, minimum=self.min_scale)
        checks.number("scale_step", self.scale_step, minimum=0)
        checks.number("flip_probability", self.flip_probability, minimum=0, maximum=1)
        checks.integer("eval_batch_size", self.eval_batch_size, minimum=1)
        checks.one_of("cache", self.cache, ("none", "encoded", "decoded"))
        checks.number("cache_gigabytes", self.cache_gigabytes, above=0)
        checks.one_of("shard", self.shard, ("position", "file"))

    @property
    def crop_height_width(self) -> tuple[int, int]:
        """The crop size as (height, width)."""
        if isinstance(self.crop_size, tuple):
            return self.crop_size
        return self.crop_size, self.crop_size
