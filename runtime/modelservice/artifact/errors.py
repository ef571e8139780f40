"""What can be wrong with an artifact."""


class ArtifactError(Exception):
    """The folder is not an artifact that can be trusted; the message says why, in a sentence."""
