"""A stored model that answers, whatever transports stand around it."""
