"""Random values for the variables of a Keras model."""

from __future__ import annotations

import keras
import numpy as np


def randomize(model: keras.Model) -> None:
    """Gives norms and biases values that show when two of them are exchanged."""
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.endswith(("moving_variance", "gamma")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.path.endswith(("moving_mean", "beta", "bias")):
            variable.assign(rng.normal(0, 0.1, variable.shape))
