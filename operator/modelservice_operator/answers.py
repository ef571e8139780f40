"""What the server of a pod counted: the part of its metrics that says how well it answers."""

from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

_REQUESTS, _SECONDS = "modelservice_requests_total", "modelservice_request_duration_seconds_sum"
_ROUTES: Final = (":predict", "/infer", "/ModelInfer", "/ModelStreamInfer", "/Predict")
"""How routes of inferences end; explanations take longer, and are asked of either side by chance."""

_GOOD: Final = frozenset({"200", "OK"})
_LEFT: Final = frozenset({"499", "CANCELLED"})
"""Codes of a client that went away before it had its answer."""

_LINES: Final = 1000
_LINE: Final = 1024
"""Many times what a server tells: to read the worst page that fits would hold up all others for a fifth of a second."""

_MOST: Final = 2.0**53
"""Of one series, far beyond what a pod ever counts: what is said is no number to reckon with otherwise."""


class Answers(NamedTuple):
    """Inferences that were answered, those that failed or were refused, and the seconds of all."""

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """All of them."""
        return self.answered + self.failed

    def since(self, first: "Answers") -> "Answers":
        """What came after ``first``; all, where counting began anew since."""
        if self.answered < first.answered or self.failed < first.failed or self.seconds < first.seconds:
            return self
        return Answers(self.answered - first.answered, self.failed - first.failed, self.seconds - first.seconds)


def parse_answers(page: str) -> Answers:
    """What a page of metrics tells of inferences; of a page that was cut off the last line is left out.

    Raises:
        ValueError: it is no page of metrics, or has numbers that nobody counted.
    """
    lines = [line for line in page.split("\n")[:-1] if line.startswith((f"{_REQUESTS}{{", f"{_SECONDS}{{"))]
    if len(lines) > _LINES or any(len(line) > _LINE for line in lines):
        raise ValueError(f"more than {_LINES} lines of inferences, or one of more than {_LINE} characters")
    families = text_string_to_metric_families("".join(f"{line}\n" for line in lines))
    answered, failed, seconds = 0, 0, 0.0
    for sample in (sample for family in families for sample in family.samples):
        route, code = sample.labels.get("route", ""), sample.labels.get("code", "")
        if not 0 <= sample.value <= _MOST:  # NaN is not, either
            raise ValueError(f"{sample.name} is {sample.value}")
        if not route.endswith(_ROUTES) or code in _LEFT:
            continue
        if sample.name == _SECONDS:
            seconds += sample.value
        elif code in _GOOD:
            answered += int(sample.value)
        else:
            failed += int(sample.value)
    return Answers(answered, failed, seconds)
