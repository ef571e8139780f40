"""``make bench-quality``: how well tables are learned, ours beside scikit-learn's on the same folds of the same sets.

A fit's predictions of each row are stored before anything is computed from them, so the bench goes on where it was
stopped, and ``python -m tests.bench.quality.recompute`` finds the same figures by other means.
"""
