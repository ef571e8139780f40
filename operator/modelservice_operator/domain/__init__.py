"""Decisions, without I/O: what was observed, what to do, what to say. No clock, no Kubernetes client, no kopf."""
