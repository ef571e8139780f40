"""How little a head on a frozen encoder needs to see, beside the same rows as they are and networks from scratch."""
