"""A cluster as people see it: what there is of a ModelService, what a file would change, and a way to its pods.

For a terminal, on the official client: needs the extra ``cluster``, and nothing of torch or numpy but where two models
are compared, which answer here.
"""
