"""The log of a server: lines for people on a terminal, and JSON, in the operator's words, where it is kept."""

import json
import logging
import time
from typing import TextIO


def configure_log(stream: TextIO) -> None:
    """Write the log to a stream, unless somebody else takes it already."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s") if stream.isatty() else JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class JsonFormatter(logging.Formatter):
    """A JSON object a line: ``timestamp``, ``level``, ``logger``, ``event``, and ``exception`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "timestamp": f"{at}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
