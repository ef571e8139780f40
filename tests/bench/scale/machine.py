"""On which machine, and when, figures were measured."""

import os
from datetime import UTC, datetime
from pathlib import Path


def machine() -> str:
    """In words, with the date and how busy it was with other things."""
    memory = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) / (1 << 20)
    return (
        f"{os.cpu_count()} CPUs ({_processor()}) and {memory:.0f} GiB shared by all of it, {datetime.now(UTC):%Y-%m-%d}"
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
