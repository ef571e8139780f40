"""The server: inference protocols over HTTP in front of a batcher that owns the model."""
