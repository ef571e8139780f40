"""The operator is installed once; stories run side by side, then what wants the cluster for itself."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.bench.record import Figure, record
from tests.cluster import pki
from tests.e2e.second_node import begin_second_node
from tests.e2e.stories import KEEP, Stories, Story, is_whole
from tests.support.e2e import Api, Space
from tests.support.installation import Installation

USER = "e2e-user"

_figures = pytest.StashKey[list[Figure]]()
_stories = pytest.StashKey[dict[str, Stories]]()
_began = pytest.StashKey[datetime]()


def pytest_addoption(parser: pytest.Parser) -> None:
    # What the operator repeats of itself it repeats within 30 s, or not within five minutes; and it forgets its writes
    # after 60 s (machinery/damper.py). So this is two rounds of everything, and more than that minute.
    parser.addoption(
        "--converged-seconds", type=float, default=65, help="how long nothing may be written by a converged operator"
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in (
        "story(seconds, cast=None): runs side by side with others, after those of its cast; about how long it takes",
        "apart(seconds): a story that asks nothing of the operator; it begins while that is watched doing nothing",
        "alone: needs the cluster, and the operator, for itself; runs last",
    ):
        config.addinivalue_line("markers", marker)
    config.stash[_figures], config.stash[_stories], config.stash[_began] = [], {}, datetime.now(UTC)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = ("story", "alone", "apart")
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in reversed(order)])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A story is told in its thread already: only its end is waited for."""
    told = _told_in(pyfuncitem)
    if told is None:
        return None
    pyfuncitem.config.stash[_stories][told].result(pyfuncitem.nodeid)
    return True


def _told_in(item: pytest.Item) -> str | None:
    """The marker, and the fixture, of a test that is a story; None of another one."""
    return next((name for name in ("story", "apart") if item.get_closest_marker(name) is not None), None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    """What goes wrong in a test on two namespaces is shown with their state."""
    held = [item.funcargs.get(name) for name in ("spaces", "fleet", "iris")]
    spaces = next((one for one in held if isinstance(one, tuple)), ())
    with ExitStack() as stack:
        for space in spaces:
            stack.enter_context(space.explained())
        return (yield)


@pytest.fixture(scope="session")
def session_began(pytestconfig: pytest.Config) -> datetime:
    """When this run began."""
    return pytestconfig.stash[_began]


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Api:
    return Api(kubeconfig)


@pytest.fixture(scope="session")
def installation(api: Api, kubeconfig: Path) -> Iterator[Installation]:
    """The operator of this checkout; what a demo installed is upgraded, and stays."""
    made = Installation(api=api, admin=kubeconfig)
    found = made.was_there()
    made.install()
    yield made
    if not found and not KEEP:
        made.uninstall()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[Figure]:
    """What was measured on the way; printed at the end, and kept in ``build/bench/e2e.json``."""
    return pytestconfig.stash[_figures]


@pytest.fixture(scope="session")
def make_space(api: Api, kubeconfig: Path) -> Callable[[str], Space]:
    """Names a namespace in which a user may edit; making it is the caller's part."""
    user = pki.user_kubeconfig(USER)
    return lambda name: Space(name=name, api=api, admin=kubeconfig, user=user, user_name=USER)


@pytest.fixture(scope="session")
def tell(
    request: pytest.FixtureRequest,
    installation: Installation,
    figures: list[Figure],
    make_space: Callable[[str], Space],
) -> Callable[[str], AbstractContextManager[None]]:
    """Begins all selected stories of a marker; they are over at the end of the context."""
    known = {"figures": figures, "installation": installation}

    @contextmanager
    def tell(name: str) -> Iterator[None]:
        told = [
            Story(
                name=item.nodeid,
                tell=item.obj,
                arguments={
                    **(item.callspec.params if hasattr(item, "callspec") else {}),
                    **{name: value for name, value in known.items() if name in item.fixturenames},
                },
                seconds=marker.args[0],
                cast=marker.kwargs.get("cast"),
            )
            for item in request.session.items
            if isinstance(item, pytest.Function) and (marker := item.get_closest_marker(name))
        ]
        running = Stories(told, make_space=make_space)
        request.config.stash[_stories][name] = running
        yield
        running.finish()

    return tell


@pytest.fixture(scope="session")
def story(tell: Callable[[str], AbstractContextManager[None]]) -> Iterator[None]:
    """All stories that run side by side, begun."""
    with tell("story"):
        yield


@pytest.fixture(scope="session")
def apart(tell: Callable[[str], AbstractContextManager[None]]) -> Iterator[None]:
    """All stories that ask nothing of the operator, begun."""
    with tell("apart"):
        yield


@pytest.fixture
def space(request: pytest.FixtureRequest) -> None:
    """A story's namespace: its thread makes it."""
    told = _told_in(request.node)
    assert told is not None, f"{request.node.nodeid} has no namespace: it is no story"
    request.getfixturevalue(told)


@pytest.fixture(scope="module")
def spaces(installation: Installation, make_space: Callable[[str], Space]) -> Iterator[tuple[Space, Space]]:
    """Two namespaces for the tests of a module."""
    run_id = secrets.token_hex(2)
    made = tuple(make_space(f"e2e-{run_id}-{letter}") for letter in "ab")
    for one in made:
        one.create()
    yield made[0], made[1]
    if not KEEP:
        for one in made:
            one.remove()


@pytest.fixture(scope="session")
def second_node_begun() -> Iterator[Future[None]]:
    """A second node that comes up while tests run which only wait; its images take a minute to get there."""
    with begin_second_node() as begun:
        yield begun


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was measured; only a run of all tests replaces what ``build/bench/e2e.json`` holds."""
    figures = config.stash[_figures]
    whole = is_whole(config)
    if figures and whole:
        terminalreporter.ensure_newline()
        record("e2e", figures, caption="as a user with edit sees it, on two CPUs that all pods share", readme=False)
    for one in () if whole else figures:
        terminalreporter.write_line(f"{one.figure}: {one.value:.2f} {one.unit}")
