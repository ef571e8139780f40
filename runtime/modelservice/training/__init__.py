"""From a table to an artifact."""
