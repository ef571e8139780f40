"""What the apiserver answers when it does not do what it was asked: one class for each thing a caller can do next."""

LONGEST_AFTER = 120.0
"""Seconds of the longest ``Retry-After`` that is heeded: HTTP would allow hours."""


class KubeError(Exception):
    """A request that the apiserver did not fulfil; the text is the apiserver's message, or the connection's.

    Attributes:
        after: seconds that the apiserver asks to be left alone for, ``LONGEST_AFTER`` at most; 0 where it does not.
    """

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = min(after, LONGEST_AFTER)


class NotFound(KubeError):  # noqa: N818 - the apiserver's own word for it
    """404: there is no such object, namespace or kind."""


class Conflict(KubeError):  # noqa: N818 - the apiserver's own word for it
    """409: another UID or a newer version stands there; read again, then decide again."""


class Forbidden(KubeError):  # noqa: N818 - the apiserver's own word for it
    """403: a quota or missing RBAC; heals when somebody changes that."""


class Invalid(KubeError):  # noqa: N818 - the apiserver's own word for it
    """400 or 422: the apiserver refuses the object itself; waits for a change of it."""


class Transient(KubeError):  # noqa: N818 - said as the others are
    """Timeout, lost connection, 429, 5xx, or writes that are not allowed now: try again later."""


class Expired(KubeError):  # noqa: N818 - said as the others are
    """410: a version, or a page's place in a list, that the apiserver has forgotten; list again from the start."""


class TooLarge(KubeError):  # noqa: N818 - said as the others are
    """An answer with more bytes, or nested more deeply, than is read: ask for less of it."""
