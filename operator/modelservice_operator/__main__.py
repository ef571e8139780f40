"""``python -m modelservice_operator``, which is how a container runs it."""

import os
import signal
import sys

# Process 1 of a container is not sent a signal that it does not handle: while all is imported, SIGTERM would be lost
# and the pod stay until it is killed. Nothing was begun that has to be ended.
signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))

from modelservice_operator.main import main  # noqa: E402

sys.exit(main())
