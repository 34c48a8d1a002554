"""`DataConfig`: which data set, and how its images are augmented."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from deeplab import checks
from deeplab.data.augment import AugmentConfig
from deeplab.data.builders import DATASETS
from deeplab.errors import DeepLabError, unknown_name


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which data, and how it is augmented. Defaults of the augmentation are the original's.

    Attributes:
        dataset: a key of `DATASETS`.
        crop_size: height and width of training images in pixels, or one number for both.
        train_split: the split to train on; None: the data set's.
        eval_split: the split to evaluate on; None: the data set's.
        resize_min_side: every image is resized, before anything else and at evaluation too, so that
            its shorter side has so many pixels (`min_resize_value` of the original); evaluation
            then measures on resized labels, as the original does. None: images are left as they
            are. It is a setting of the data set: the files that `deeplab predict` and `evaluate
            --images` are given are not resized.
        resize_max_side: where the longer side would get more pixels than these, it gets these
            instead (`max_resize_value`). None: no limit.
        resize_multiple: both sides are raised to a multiple of it plus one (`resize_factor`).
        min_scale: least factor of the random scale, above 0.
        max_scale: greatest factor.
        scale_step: distance of the factors; 0: any factor between the two.
        flip_probability: how often images are mirrored, 0..1.
        augment: what is done to training images beyond that.
        eval_batch_size: greatest number of images of a batch at evaluation.
        cache: what of the training split is kept in memory: 'none'; 'encoded', the files, for
            data that is far away; 'decoded', the pixels; 'auto', the pixels if they take no more
            than `cache_gigabytes` and a fourth of the free memory, else nothing. It changes no
            batch.
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
    resize_min_side: int | None = None
    resize_max_side: int | None = None
    resize_multiple: int | None = None
    min_scale: float = 0.5
    max_scale: float = 2.0
    scale_step: float = 0.25
    flip_probability: float = 0.5
    augment: AugmentConfig = AugmentConfig()
    eval_batch_size: int = 1
    cache: str = "auto"
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
        self._check_resize()
        checks.number("min_scale", self.min_scale, above=0)
        checks.number("max_scale", self.max_scale, minimum=self.min_scale)
        checks.number("scale_step", self.scale_step, minimum=0)
        checks.number("flip_probability", self.flip_probability, minimum=0, maximum=1)
        checks.integer("eval_batch_size", self.eval_batch_size, minimum=1)
        if isinstance(self.augment, Mapping):  # as JSON gives it
            object.__setattr__(self, "augment", AugmentConfig(**self.augment))
        if not isinstance(self.augment, AugmentConfig):
            raise DeepLabError(f"augment must be an AugmentConfig, not {self.augment!r}")
        checks.one_of("cache", self.cache, ("auto", "none", "encoded", "decoded"))
        checks.number("cache_gigabytes", self.cache_gigabytes, above=0)
        checks.one_of("shard", self.shard, ("position", "file"))

    def _check_resize(self) -> None:
        least = self.resize_min_side
        if least is not None:
            checks.integer("resize_min_side", least, minimum=1)
        for name, minimum in (("resize_max_side", least or 1), ("resize_multiple", 1)):
            if (value := getattr(self, name)) is not None:
                checks.integer(name, value, minimum=minimum)
                if least is None:
                    raise DeepLabError(f"{name} is {value}, but resize_min_side is not set")

    @property
    def named_splits(self) -> tuple[str, ...]:
        """The splits that are not left to the data set."""
        return tuple(split for split in (self.train_split, self.eval_split) if split is not None)

    @property
    def crop_height_width(self) -> tuple[int, int]:
        """The crop size as (height, width)."""
        if isinstance(self.crop_size, tuple):
            return self.crop_size
        return self.crop_size, self.crop_size
