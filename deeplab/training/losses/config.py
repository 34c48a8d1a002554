"""What the loss of a run is: plain data that a configuration file fills."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from deeplab import checks
from deeplab.errors import DeepLabError
from deeplab.training.losses.table import LOSSES, settings_of


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """A weighted sum of losses over the labeled pixels.

    Each of the settings below belongs to some of the losses; one that is set while none of them is
    in `terms` is an error.

    Attributes:
        terms: factor of each loss, by name: "softmax_cross_entropy", "focal", "dice",
            "lovasz_softmax".
        upsample_logits: whether logits are resized to the label; if not, the label is resized
            (nearest) to the logits, which are 4 to 32 times smaller. Of all losses.
        class_weights: factor on the loss of a pixel by its class, one per class, at least 0. A mean
            still divides by the number of pixels and not by the sum of their weights, as in the
            original. None: ones. Of softmax_cross_entropy and focal.
        boundary_width: how far from another class, in rows and columns of pixels, a pixel is near
            a boundary; 0: nowhere. Of softmax_cross_entropy and focal.
        boundary_weight: a pixel near a boundary weighs 1 + this. Of softmax_cross_entropy and
            focal.
        label_smoothing: share of the target that is spread evenly over all classes. Of
            softmax_cross_entropy.
        hard_pixel_fraction: share of the pixels of a batch, ignored ones included, that count:
            those with the largest losses (`top_k_percent_pixels` of the original). 1: all. Of
            softmax_cross_entropy.
        hard_pixel_ramp_steps: steps in which that share falls linearly from 1
            (`hard_example_mining_step` of the original); 0: there from the start. Of
            softmax_cross_entropy.
        focal_gamma: how much well classified pixels are damped; 0: not at all. None: 2. Of focal.

    Raises:
        DeepLabError: for a wrong type, an unknown loss, a value out of range, a setting without
            effect.
    """

    terms: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"softmax_cross_entropy": 1.0}
    )
    upsample_logits: bool = True
    class_weights: tuple[float, ...] | None = None
    boundary_width: int = 0
    boundary_weight: float = 0.0
    label_smoothing: float = 0.0
    hard_pixel_fraction: float = 1.0
    hard_pixel_ramp_steps: int = 0
    focal_gamma: float | None = None

    def __post_init__(self) -> None:
        """Checks every value."""
        self._check_terms()
        checks.flag("upsample_logits", self.upsample_logits)
        self._check_class_weights()
        checks.integer("boundary_width", self.boundary_width, minimum=0)
        checks.number("boundary_weight", self.boundary_weight, minimum=0)
        checks.number("label_smoothing", self.label_smoothing, minimum=0, below=1)
        checks.number("hard_pixel_fraction", self.hard_pixel_fraction, above=0, maximum=1)
        checks.integer("hard_pixel_ramp_steps", self.hard_pixel_ramp_steps, minimum=0)
        if self.focal_gamma is not None:
            checks.number("focal_gamma", self.focal_gamma, minimum=0)
        self._check_effect()

    def _check_terms(self) -> None:
        if not isinstance(self.terms, Mapping) or not self.terms:
            raise DeepLabError(
                f"terms must be names of losses with factors, such as "
                f"{{'softmax_cross_entropy': 1.0}}, not {self.terms!r}"
            )
        for name, factor in self.terms.items():
            checks.one_of("loss", name, LOSSES)
            checks.number(f"the factor of {name}", factor, above=0)
        object.__setattr__(self, "terms", {name: float(x) for name, x in self.terms.items()})

    def _check_class_weights(self) -> None:
        if self.class_weights is None:
            return
        if not isinstance(self.class_weights, tuple | list):
            raise DeepLabError(
                f"class_weights must be a list of numbers, one per class, not "
                f"{self.class_weights!r}"
            )
        weights = tuple(
            float(checks.number(f"class_weights[{index}]", weight, minimum=0))
            for index, weight in enumerate(self.class_weights)
        )
        if not any(weights):
            raise DeepLabError(f"class_weights must not all be 0: {list(weights)}")
        object.__setattr__(self, "class_weights", weights)

    def _check_effect(self) -> None:
        readers = {
            field.name: [name for name in LOSSES if field.name in settings_of(name)]
            for field in dataclasses.fields(self)
        }
        checks.settings_are_read(self, readers, self.terms)
        if bool(self.boundary_width) != bool(self.boundary_weight):
            raise DeepLabError(
                "boundary_width and boundary_weight have no effect without each other: they are "
                f"{self.boundary_width} and {self.boundary_weight}"
            )
        if self.hard_pixel_ramp_steps and self.hard_pixel_fraction == 1:
            raise DeepLabError(
                f"hard_pixel_ramp_steps = {self.hard_pixel_ramp_steps} has no effect while "
                "hard_pixel_fraction is 1"
            )

    def check_num_classes(self, num_classes: int) -> None:
        """Refuses class weights that are not as many as the classes.

        Raises:
            DeepLabError: if so.
        """
        if self.class_weights is not None and len(self.class_weights) != num_classes:
            raise DeepLabError(
                f"class_weights has {len(self.class_weights)} numbers, but there are "
                f"{num_classes} classes"
            )
