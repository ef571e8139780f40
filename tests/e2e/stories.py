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
"""More would only make each other slow: a training needs one or two seconds of CPU before it begins."""
ATTACKED, CHANGED, TABLE = "attacked", "changed", "table"
"""Casts: a model that others meddle with, one whose owner changes how it is trained and served, one and its table."""


def is_whole(config: pytest.Config) -> bool:
    """Whether all tests of this level are run."""
    return not config.option.keyword and not any(".py" in argument for argument in config.args)


@dataclass(frozen=True, kw_only=True)
class Story:
    """A test function with its arguments, and about how many seconds it takes: long ones begin first.

    Stories of one ``cast`` begin with the same model: they are told in its namespace, one after the other, in their
    order, and what one of them trained and serves the next ones find.
    """

    name: str
    tell: Callable[..., None]
    arguments: Mapping[str, Any]
    seconds: float
    cast: str | None = None


class Stories:
    """All stories of a session, running."""

    def __init__(self, stories: Sequence[Story], *, make_space: Callable[[str], Space]) -> None:
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="story")
        self._make_space = make_space
        self._run_id = secrets.token_hex(2)
        self._numbers = itertools.count(1)
        self._told: dict[str, Future[None]] = {story.name: Future() for story in stories}
        casts: dict[str, list[Story]] = {}
        for story in stories:
            casts.setdefault(story.cast or story.name, []).append(story)
        for told in sorted(casts.values(), key=lambda told: -sum(story.seconds for story in told)):
            self._pool.submit(self._tell, told)

    def _tell(self, told: Sequence[Story]) -> None:
        """Tell the stories of a cast; whatever comes of one of them, the others are told."""
        try:
            space = self._make_space(f"e2e-{self._run_id}-{next(self._numbers)}")
            for story in told:
                error = self._error(space, story, begins=story is told[0])
                if story is told[-1] and not KEEP:
                    space.remove()
                self._end(story, error)
        except BaseException as error:  # of the namespace: no test waits for ever
            for story in told:
                if not self._told[story.name].done():
                    self._end(story, error)

    def _error(self, space: Space, story: Story, *, begins: bool) -> BaseException | None:
        try:
            with space.explained():
                if begins:
                    space.create()
                story.tell(space=space, **story.arguments)
        except BaseException as error:
            return error
        return None

    def _end(self, story: Story, error: BaseException | None) -> None:
        if error is None:
            self._told[story.name].set_result(None)
        else:
            self._told[story.name].set_exception(error)

    def result(self, name: str) -> None:
        """Wait until a story has ended; raises what it raised."""
        self._told[name].result()

    def finish(self) -> None:
        """Wait for those that run, and begin no other one."""
        self._pool.shutdown(wait=True, cancel_futures=True)
