"""The artifact: a folder of data files that its manifest lists and hashes; never code."""
