"""Random samples of pairs, groups, trials and distortions.

NumPy only: they are index arrays and matrices; pixels are not used.
"""
