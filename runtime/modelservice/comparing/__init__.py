"""Two models on the same rows: which rows these may be, and how far one is from the other."""
