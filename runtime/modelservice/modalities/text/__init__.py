"""Texts of one column, as tokens."""
