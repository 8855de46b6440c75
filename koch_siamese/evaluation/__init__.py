"""How well a scorer does: protocols, metrics, calibration, baselines."""
