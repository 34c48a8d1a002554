"""Augmentation beyond the original's scale, crop and flip: distortions and mixing."""

from deeplab.data.augment.config import AugmentConfig
from deeplab.data.augment.make import distortion, mixing
from deeplab.data.augment.registry import DISTORTIONS, MIXES

__all__ = ["DISTORTIONS", "MIXES", "AugmentConfig", "distortion", "mixing"]
