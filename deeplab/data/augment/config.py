"""`AugmentConfig`: what is done to training images beyond scale, crop and flip."""

from __future__ import annotations

import dataclasses

from deeplab import checks
from deeplab.data.augment.rand_augment import MAX_MAGNITUDE, OPERATIONS
from deeplab.data.augment.registry import DISTORTIONS, MIXES, settings_of
from deeplab.errors import DeepLabError

# The greatest value of each number; the least is 0.
_RANGES = {
    "brightness": 255,
    "contrast": 1,
    "saturation": 1,
    "hue": 180,
    "photometric_probability": 1,
    "rotation_degrees": 180,
    "rotation_probability": 1,
    "rand_augment_magnitude": MAX_MAGNITUDE,
    "mix_probability": 1,
}


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """Augmentation of training images, in addition to the original's. By default there is none.

    Attributes:
        distortions: names of `DISTORTIONS`, in the order in which they are applied to the scaled
            and cropped image, before it is padded.
        brightness: of `photometric`: at most so much is added to the values, 0..255.
        contrast: of `photometric`: factors of 1-contrast..1+contrast; 0..1.
        saturation: of `photometric`: likewise.
        hue: of `photometric`: the greatest turn of the hue in degrees, 0..180.
        photometric_probability: of each of the four changes, 0..1.
        rotation_degrees: of `rotation`: the greatest angle to either side, 0..180.
        rotation_probability: of turning at all, 0..1.
        rand_augment_count: of `rand_augment`: operations per image, the paper's N.
        rand_augment_magnitude: their strength, 0..10, the paper's M.
        rand_augment_operations: names of `OPERATIONS` to draw from; None: all.
        mix: a name of `MIXES`, how the images of a batch are mixed in pairs; None: not at all.
        mix_probability: of pasting something into an image, 0..1.
        copy_paste_classes: of `copy_paste`: names of the classes whose pixels are pasted.

    Raises:
        DeepLabError: on construction, if a value has the wrong type or is out of range, or none of
            what is chosen reads a setting that has been changed.
    """

    distortions: tuple[str, ...] = ()
    brightness: float = 32.0
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 18.0
    photometric_probability: float = 0.5
    rotation_degrees: float = 10.0
    rotation_probability: float = 0.5
    rand_augment_count: int = 2
    rand_augment_magnitude: float = 5.0
    rand_augment_operations: tuple[str, ...] | None = None
    mix: str | None = None
    mix_probability: float = 0.5
    copy_paste_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks every value."""
        self._set_names("distortions", checks.names("distortions", self.distortions, DISTORTIONS))
        if self.rand_augment_operations is not None:
            operations = checks.names(
                "rand_augment_operations", self.rand_augment_operations, OPERATIONS
            )
            if not operations:
                raise DeepLabError(
                    "rand_augment_operations is empty; None draws from all operations, and "
                    "distortions without 'rand_augment' does none"
                )
            self._set_names("rand_augment_operations", operations)
        self._set_names(
            "copy_paste_classes", checks.names("copy_paste_classes", self.copy_paste_classes)
        )
        if self.mix is not None:
            checks.one_of("mix", self.mix, MIXES)
        if self.mix == "copy_paste" and not self.copy_paste_classes:
            raise DeepLabError(
                "mix 'copy_paste' needs the names of the classes to paste: "
                "AugmentConfig.copy_paste_classes = ('car', ...)"
            )
        for name, maximum in _RANGES.items():
            checks.number(name, getattr(self, name), minimum=0, maximum=maximum)
        checks.integer("rand_augment_count", self.rand_augment_count, minimum=1)
        readers = {name: (row,) for row in (*DISTORTIONS, *MIXES) for name in settings_of(row)}
        chosen = (*self.distortions, *((self.mix,) if self.mix else ()))
        checks.settings_are_read(self, {**readers, "mix_probability": tuple(MIXES)}, chosen)

    def _set_names(self, name: str, names: tuple[str, ...]) -> None:
        object.__setattr__(self, name, names)  # JSON and gin have lists
