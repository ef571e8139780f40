"""What can be wrong with a model that is to be packed."""


class PackError(Exception):
    """It cannot be served as it is, or as it was described; the message says why, in a sentence with the remedy."""
