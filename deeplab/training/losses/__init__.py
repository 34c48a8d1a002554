"""Losses over labeled pixels, and any weighted sum of them."""

from deeplab.training.losses.config import LossConfig
from deeplab.training.losses.l2_penalty import l2_penalty
from deeplab.training.losses.make_loss import Loss, make_loss
from deeplab.training.losses.table import LOSSES

__all__ = ["LOSSES", "Loss", "LossConfig", "l2_penalty", "make_loss"]
