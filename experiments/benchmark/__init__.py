"""The benchmark: ours beside a PyTorch script after the tutorial."""
