"""Random samples of pairs, groups, trials and distortions.

NumPy only: arrays of indices and matrices, without any pixels.
"""
