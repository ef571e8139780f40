"""Stories: tests that run side by side, each in a thread and a namespace of its own.

Most of a story is waiting for pods. One after the other they would take an hour; so all begin when the first is
reached, and a test's result is the result of its thread.
"""

import itertools
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.e2e import Space

KEEP = os.environ.get("KEEP") == "1"
"""Whether namespaces stay when their stories are over."""
SIDE_BY_SIDE = 8
"""More would only make each other slow: a training needs three seconds of CPU before it begins."""


def is_whole(config: pytest.Config) -> bool:
    """Whether all tests of this level are run."""
    return not config.option.keyword and not any(".py" in argument for argument in config.args)


@dataclass(frozen=True, kw_only=True)
class Story:
    """A test function with its arguments, and about how many seconds it takes: long ones begin first."""

    name: str
    tell: Callable[..., None]
    arguments: Mapping[str, Any]
    seconds: float


class Stories:
    """All stories of a session, running."""

    def __init__(self, stories: Sequence[Story], *, make_space: Callable[[str], Space]) -> None:
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="story")
        self._make_space = make_space
        self._run_id = secrets.token_hex(2)
        self._numbers = itertools.count(1)
        longest_first = sorted(stories, key=lambda story: -story.seconds)
        self._futures: dict[str, Future[None]] = {
            story.name: self._pool.submit(self._tell, story) for story in longest_first
        }

    def _tell(self, story: Story) -> None:
        space = self._make_space(f"e2e-{self._run_id}-{next(self._numbers)}")
        space.create()
        try:
            with space.explained():
                story.tell(space=space, **story.arguments)
        finally:
            if not KEEP:
                space.remove()

    def result(self, name: str) -> None:
        """Wait until a story has ended; raises what it raised."""
        self._futures[name].result()

    def finish(self) -> None:
        """Wait for those that run, and begin no other one."""
        self._pool.shutdown(wait=True, cancel_futures=True)
