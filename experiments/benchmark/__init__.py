"""The benchmark: our code against a PyTorch script after the tutorial."""
