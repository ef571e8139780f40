"""What goes wrong between a terminal and a cluster, in sentences that say what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any


class ClusterError(Exception):
    """There is no answer; the text is for people."""


class NotFoundError(ClusterError):
    """There is no such object, or no such kind."""


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what the client raises into sentences.

    Args:
        where: the cluster, as messages name it.

    Raises:
        ClusterError: the cluster was not reached, or refused.
    """
    from kubernetes.client import ApiException  # noqa: PLC0415 - takes half a second to import
    from kubernetes.config import ConfigException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        yield
    except ApiException as error:
        raise _refused(error, where) from error
    except ConfigException as error:
        message = f"{str(error).rstrip('.')}: set KUBECONFIG, or give --kubeconfig and --context"
        raise ClusterError(message) from error
    except (HTTPError, OSError) as error:
        message = f"{where} cannot be reached: {_reason(error)}; see kubectl cluster-info"
        raise ClusterError(message) from error


def _refused(error: Any, where: str) -> ClusterError:
    said = _message(error)
    match error.status:
        case HTTPStatus.UNAUTHORIZED:
            return ClusterError(f"{where} does not know who asks: log in again, or choose another --context")
        case HTTPStatus.FORBIDDEN:
            return ClusterError(f"{said}: ask for that right, or choose another --context or --namespace")
        case HTTPStatus.NOT_FOUND:
            return NotFoundError(said)
    return ClusterError(f"{where} refuses: {said}")


def _message(error: Any) -> str:
    """What the apiserver says; a body may be anything, as a proxy's is."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _reason(error: BaseException) -> str:
    """The innermost cause: what a person knows by name."""
    inner = getattr(error, "reason", None)
    while isinstance(inner, BaseException):
        error, inner = inner, getattr(inner, "reason", None)
    text = str(error).rpartition(": ")[2] or type(error).__name__
    return text.strip("()'")
