"""Training: strategy, step, losses, optimizers and schedules, logging."""

from deeplab.training.config import OptimizerConfig, ScheduleConfig, TrainConfig
from deeplab.training.losses import LossConfig
from deeplab.training.train import train

__all__ = ["LossConfig", "OptimizerConfig", "ScheduleConfig", "TrainConfig", "train"]
