"""``python -m modelservice``."""

import sys

from modelservice.cli import main

sys.exit(main())
