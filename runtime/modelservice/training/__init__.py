"""Gradient training: losses, optimizers, penalties, the loop, and showing how far it is."""
