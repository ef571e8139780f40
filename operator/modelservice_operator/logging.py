"""JSON lines on stderr: our own log, kopf's and aiohttp's, in one form."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure(level: str) -> None:
    """Route structlog and the standard library through one handler.

    Lines carry ``timestamp``, ``level``, ``logger``, ``event`` and what ``structlog.contextvars`` holds: ``key`` and
    ``reconcile`` within a reconcile.
    """
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_SHARED, _object_of_kopf],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    quiet = logging.INFO if level == "debug" else logging.WARNING
    for noisy in ("aiohttp.access", "asyncio", "kopf"):
        logging.getLogger(noisy).setLevel(quiet)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.processors.dict_tracebacks,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _object_of_kopf(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Kopf attaches the object to the record: show it as the key that our own lines carry."""
    ref = getattr(event.get("_record"), "k8s_ref", None)
    if ref:
        event["key"] = f"{ref.get('namespace')}/{ref.get('name')}"
    return event
