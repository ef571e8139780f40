"""Turns ModelServices into trained, served models: the Kubernetes operator."""
