"""From gradients to updates: rules, learning rates, loss scaling, the average of the weights."""
