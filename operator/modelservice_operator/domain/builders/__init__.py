"""Builders: pure functions from what is desired to Kubernetes objects as plain dicts."""
