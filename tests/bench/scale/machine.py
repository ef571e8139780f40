"""On which machine, and when, figures were measured."""

import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

_TIMES = 100_000


def machine() -> str:
    """In words, with the date and how busy it was with other things."""
    memory = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) / (1 << 20)
    return (
        f"{os.cpu_count()} CPUs ({_processor()}) and {memory:.0f} GiB shared by all of it, {datetime.now(UTC):%Y-%m-%d}"
        f"; to write and parse {_TIMES:,} small objects as JSON took Python {platform.python_version()} there"
        f" {_pace():.2f} s of CPU"
    )


def _pace() -> float:
    """Seconds for a fixed piece of work: the same machine is up to twice as fast on another day."""
    child = {"metadata": {"name": "iris", "labels": {"app": "iris"}}, "status": {"replicas": 1, "conditions": ["a"]}}
    began = time.thread_time()
    for _ in range(_TIMES):
        json.loads(json.dumps(child))
    return time.thread_time() - began


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
