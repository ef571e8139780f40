"""Kueue beside the operator, on a control plane of its own: ``make test-kueue``."""
