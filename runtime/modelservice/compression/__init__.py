"""Making trained models smaller."""
