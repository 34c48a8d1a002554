"""What training is told: plain data that a configuration file fills."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

from deeplab import checks
from deeplab.data import DataConfig
from deeplab.data.pipeline.batches import MAX_SEED
from deeplab.errors import DeepLabError
from deeplab.models import ModelConfig
from deeplab.training.losses import LossConfig

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("poly", "cosine", "step")
WARMUPS = ("linear", "constant")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_WEIGHT_DECAY = {"sgd": 4e-5, "adamw": 0.01}
_BIAS_MULTIPLIER = {"sgd": 2.0, "adamw": 1.0}
_DECAY_STEPS = 2_000


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become updates.

    The learning rate of a variable is the schedule's times the multiplier of each group that it
    belongs to. Weight decay is multiplied with it, as in the original
    (`get_model_gradient_multipliers` of its utils/train_utils.py).

    Attributes:
        kind: "sgd": momentum, with the learning rate outside the accumulator as in TensorFlow 1; or
            "adamw".
        base_learning_rate: where the schedule starts; 0 leaves trainable weights as they are.
        momentum: of sgd; beta_1 of adamw stays 0.9.
        weight_decay: on kernels of dense convolutions only. With sgd it is the factor c of the term
            c * sum(w^2) / 2 in the loss; with adamw it is decoupled. None: 4e-5 with sgd, as in
            the original, and 0.01 with adamw.
        learning_rate_in_momentum: of sgd: the accumulator sums updates instead of gradients, as in
            Keras. A change of the learning rate then takes some steps to arrive.
        clip_norm: gradients whose L2 norm over all variables is larger are scaled down to it;
            0: never, as in the original.
        backbone_lr_multiplier: of all variables of the backbone.
        last_layer_lr_multiplier: of all variables of the last layers
            (`last_layer_gradient_multiplier` of the original).
        last_layers_contain_logits_only: whether the last layers are those that make the logits,
            instead of everything but the backbone.
        bias_lr_multiplier: of the biases of convolutions; not of batch norm. None: 2 with sgd, as
            always in the original, and 1 with adamw.
    """

    kind: str = "sgd"
    base_learning_rate: float = 0.007
    momentum: float = 0.9
    weight_decay: float | None = None
    learning_rate_in_momentum: bool = False
    clip_norm: float = 0.0
    backbone_lr_multiplier: float = 1.0
    last_layer_lr_multiplier: float = 1.0
    last_layers_contain_logits_only: bool = False
    bias_lr_multiplier: float | None = None

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.one_of("optimizer", self.kind, OPTIMIZERS)
        checks.number("momentum", self.momentum, minimum=0, below=1)
        for name in (
            "base_learning_rate",
            "clip_norm",
            "backbone_lr_multiplier",
            "last_layer_lr_multiplier",
        ):
            checks.number(name, getattr(self, name), minimum=0)
        for name in ("weight_decay", "bias_lr_multiplier"):
            if getattr(self, name) is not None:
                checks.number(name, getattr(self, name), minimum=0)
        for name in ("learning_rate_in_momentum", "last_layers_contain_logits_only"):
            checks.flag(name, getattr(self, name))
        readers = {"momentum": ("sgd",), "learning_rate_in_momentum": ("sgd",)}
        checks.settings_are_read(self, readers, (self.kind,))

    @property
    def resolved_weight_decay(self) -> float:
        """The weight decay, after defaults."""
        return _WEIGHT_DECAY[self.kind] if self.weight_decay is None else self.weight_decay

    @property
    def resolved_bias_lr_multiplier(self) -> float:
        """The multiplier of biases, after defaults."""
        given = self.bias_lr_multiplier
        return _BIAS_MULTIPLIER[self.kind] if given is None else given


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves: warm-up, then t = 0, 1, ... steps after it.

    Attributes:
        kind: "poly": (base - end) * (1 - t / decay_steps)^power + end (DeepLabv3 section 4.1);
            "cosine": (base - end) * (1 + cos(pi * t / decay_steps)) / 2 + end;
            "step": base * decay_factor^floor(t / decay_steps).
        power: exponent of poly; 0 keeps the rate constant.
        end_learning_rate: of poly and cosine, after decay_steps.
        warmup_steps: steps at the beginning before the schedule proper starts. A shorter run only
            warms up.
        warmup_start_learning_rate: where the warm-up begins.
        warmup_kind: "linear": the rate rises to the base; "constant": it stays where it began, the
            slow start of the original.
        decay_steps: see `kind`. None: 2,000 with step, as in the original; else all steps after the
            warm-up.
        decay_factor: of step.
    """

    kind: str = "poly"
    power: float = 0.9
    end_learning_rate: float = 0.0
    warmup_steps: int = 0
    warmup_start_learning_rate: float = 0.0
    warmup_kind: str = "linear"
    decay_steps: int | None = None
    decay_factor: float = 0.1

    def __post_init__(self) -> None:
        """Checks every value."""
        checks.one_of("schedule", self.kind, SCHEDULES)
        checks.number("power", self.power, minimum=0)
        checks.number("end_learning_rate", self.end_learning_rate, minimum=0)
        checks.integer("warmup_steps", self.warmup_steps, minimum=0)
        checks.number("warmup_start_learning_rate", self.warmup_start_learning_rate, minimum=0)
        checks.one_of("warmup_kind", self.warmup_kind, WARMUPS)
        if self.decay_steps is not None:
            checks.integer("decay_steps", self.decay_steps, minimum=1)
        checks.number("decay_factor", self.decay_factor, above=0, maximum=1)
        readers = {
            "power": ("poly",),
            "end_learning_rate": ("poly", "cosine"),
            "decay_factor": ("step",),
        }
        checks.settings_are_read(self, readers, (self.kind,))

    def resolved_decay_steps(self, train_steps: int) -> int:
        """The decay steps of a run, after defaults."""
        if self.decay_steps is not None:
            return self.decay_steps
        return _DECAY_STEPS if self.kind == "step" else max(train_steps - self.warmup_steps, 1)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        model: the network; its class count may be left to the data set.
        data: data set, crop and augmentation.
        optimizer: kind, learning rate, decay.
        schedule: of the learning rate.
        loss: a sum of losses and their settings.
        train_batch_norm: whether batch norm normalizes by the statistics of the batch and averages
            them; if not, the moving statistics stay as they are, and gamma and beta still learn
            (`fine_tune_batch_norm` of the original). None: yes, except for weights whose batch norm
            had been folded away. True measures the statistics of such weights first, on training
            images, in a way that leaves the function as it is.
        sync_batch_norm: whether several replicas normalize by the statistics of their images
            together. If not, each by its own; the moving statistics average over replicas at each
            step either way.
        train_steps: steps in all.
        global_batch_size: images per step, over all replicas and all parts of `accumulation_steps`.
        accumulation_steps: the images of a step go through the network in so many parts, one after
            the other, which takes less memory. The update is that of the whole batch, apart from
            what looks at several images: batch norm takes the statistics of a part (and moves its
            averages once per part), mining of hard pixels chooses within one.
        ema_decay: above 0: evaluation, best checkpoint, prediction and export use an exponential
            moving average of the weights and the moving statistics; after t steps
            average += (1 - min(ema_decay, (1 + t) / (10 + t))) * (weight - average).
        precision: "float32", or the type that layers compute in: "mixed_bfloat16",
            "mixed_float16". Variables, statistics, logits and loss are float32 always, and so is
            everything in a loaded model.
        rematerialize: whether to keep only what the units of the network pass on, and compute the
            rest again in the backward pass: less memory, more time, the same update.
        jit_compile: whether XLA compiles the whole step. "auto": on a TPU and on one GPU, not on a
            CPU, where that is slower, and not on several GPUs. Rounding and the pattern of dropout
            are others then.
        checkpoint_steps: steps between checkpoints; there is always one at the end.
        eval_steps: steps between evaluations on the evaluation split, and one at the end; 0: never.
        keep_checkpoints: how many of the newest checkpoints stay.
        steps_per_loop: steps that the device makes before Python looks at them; None: 100 on a TPU,
            where each look is slow, and 1 elsewhere. Never beyond the next checkpoint or
            evaluation. The result is the same.
        log_steps: steps between entries in history.json and TensorBoard.
        profile_steps: the first and the last step of a trace for TensorBoard's profile page; None:
            no trace.
        seed: of initial weights, order of the data, augmentation and dropout.
    """

    model: ModelConfig
    data: DataConfig
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    loss: LossConfig = LossConfig()
    train_batch_norm: bool | None = None
    sync_batch_norm: bool = True
    train_steps: int = 30_000
    global_batch_size: int = 16
    accumulation_steps: int = 1
    ema_decay: float = 0.0
    precision: str = "float32"
    rematerialize: bool = False
    jit_compile: bool | str = "auto"
    checkpoint_steps: int = 1_000
    eval_steps: int = 0
    keep_checkpoints: int = 3
    steps_per_loop: int | None = None
    log_steps: int = 20
    profile_steps: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every value."""
        for name, kind in (
            ("model", ModelConfig),
            ("data", DataConfig),
            ("optimizer", OptimizerConfig),
            ("schedule", ScheduleConfig),
            ("loss", LossConfig),
        ):
            if not isinstance(getattr(self, name), kind):
                raise DeepLabError(f"{name} must be a {kind.__name__}, not {getattr(self, name)!r}")
        if self.train_batch_norm is not None:
            checks.flag("train_batch_norm", self.train_batch_norm)
        checks.flag("sync_batch_norm", self.sync_batch_norm)
        for name in (
            "train_steps",
            "global_batch_size",
            "accumulation_steps",
            "checkpoint_steps",
            "keep_checkpoints",
            "log_steps",
        ):
            checks.integer(name, getattr(self, name), minimum=1)
        checks.number("ema_decay", self.ema_decay, minimum=0, below=1)
        checks.one_of("precision", self.precision, PRECISIONS)
        checks.flag("rematerialize", self.rematerialize)
        if self.rematerialize and self.model.image_pyramid != (1.0,):
            raise DeepLabError("rematerialize does not work with an image_pyramid")
        if self.jit_compile != "auto" and not isinstance(self.jit_compile, bool):
            raise DeepLabError(
                f"jit_compile must be 'auto', True or False, not {self.jit_compile!r}"
            )
        self._check_quantization()
        if self.steps_per_loop is not None:
            checks.integer("steps_per_loop", self.steps_per_loop, minimum=1)
        checks.integer("eval_steps", self.eval_steps, minimum=0)
        if self.profile_steps is not None:
            steps = checks.integers("profile_steps", self.profile_steps, minimum=1)
            if len(steps) != 2 or steps[0] > steps[1]:
                raise DeepLabError(
                    f"profile_steps must be (first, last), not {self.profile_steps!r}"
                )
            object.__setattr__(self, "profile_steps", steps)  # JSON and gin have lists
        checks.integer("seed", self.seed, minimum=0, maximum=MAX_SEED)
        if min(self.data.crop_height_width) < self.model.output_stride:
            raise DeepLabError(
                f"crop_size {self.data.crop_size} is smaller than the output stride "
                f"{self.model.output_stride}: nothing would be left of the image"
            )

    def _check_quantization(self) -> None:
        quantization = self.model.quantization
        if quantization is None:
            return
        if self.precision != "float32":
            raise DeepLabError(f"quantization needs precision 'float32', not {self.precision!r}")
        if self.rematerialize:
            raise DeepLabError("rematerialize does not work with quantization")
        passes = self.train_steps * self.accumulation_steps
        if passes <= quantization.observe_steps:
            raise DeepLabError(
                f"nothing would be trained with rounded features: observe_steps is "
                f"{quantization.observe_steps}, and train_steps {self.train_steps} make {passes} "
                "passes through the network"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def default_settings(settings: type = TrainConfig) -> dict[str, Any]:
    """The defaults of a settings class, nested as `TrainConfig.to_dict`; without those it lacks.

    A run folder that was made before a setting existed was trained with its default.
    """
    types = get_type_hints(settings)
    found = {}
    for field in dataclasses.fields(settings):
        if dataclasses.is_dataclass(types[field.name]):
            found[field.name] = default_settings(types[field.name])
        elif field.default is not dataclasses.MISSING:
            found[field.name] = field.default
    return found
