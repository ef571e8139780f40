"""Leaving a report where the kubelet reads a pod's last words."""

from pathlib import Path

from modelservice.contract.report import Report
from modelservice.training.progress import JsonLines


def write_report(path: Path, report: Report, log: JsonLines) -> None:
    """Write the report; where that cannot be, the log says so, and the exit code has to do."""
    try:
        path.write_text(report.to_message(), encoding="utf-8")
    except OSError as error:
        log.write("noReport", path=str(path), message=str(error))
