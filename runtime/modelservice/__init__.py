"""From a table to a served model: ``modelservice.train(...)`` and ``modelservice.load(...)``."""

__version__ = "0.1.0"
