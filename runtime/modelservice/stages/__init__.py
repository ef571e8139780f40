"""Steps of the pipeline as a pod or a laptop runs them: train, compress, fetch, compare."""
