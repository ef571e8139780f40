"""What can be wrong with a model that is to be packed."""


class PackError(Exception):
    """It cannot be served as it is, or as it was described; the message says why, in a sentence with the remedy."""


def short(error: Exception) -> str:
    """What a library says, in one line."""
    return " ".join(str(error).split())[:300]
