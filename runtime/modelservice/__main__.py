"""``python -m modelservice``, which is how a container runs it."""

import os
import signal
import sys

from modelservice.contract.exit_codes import ExitCode

# Process 1 of a container is not sent a signal that it does not handle: while torch is imported, seconds, SIGTERM
# would be lost and the pod stay until it is killed. Commands with something to finish put their own handler here.
signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(ExitCode.TERMINATED))

from modelservice.cli import main  # noqa: E402

sys.exit(main())
