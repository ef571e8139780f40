"""What is seen of a model after its training: pictures, a model card, a report on the data, a baseline for drift."""
