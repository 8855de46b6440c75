"""What is drawn at random: pairs, groups, trials, and distortions.

NumPy only: index arrays and matrices, and nothing that touches pixels.
"""
