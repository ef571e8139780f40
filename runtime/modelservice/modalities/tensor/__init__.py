"""Tensors of numbers, given to a packed model as they are."""
