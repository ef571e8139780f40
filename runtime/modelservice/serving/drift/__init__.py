"""Whether what is asked and answered is spread as it was in training."""
