"""Flux itself applies and judges ModelServices on the cluster: ``make test-flux``."""
