"""How a model learns: batches, losses, optimizers, and the loop."""
