"""Which drawings go together: pairs, groups and trials, as index arrays.

NumPy only: nothing here knows an image or a model.
"""
