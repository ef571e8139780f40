"""Benches: figures as ratios to a limit measured in the same run, printed and recorded, never asserted by time."""
