"""Builders: pure functions from what is wanted to Kubernetes objects as plain dicts."""
