"""The page as one file of HTML, with the policy that lets a browser run nothing but what is in it."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from modelservice.serving.answer import Answer
from modelservice.serving.core import Core
from modelservice.serving.page.facts import PICTURES, page_facts, pictures_of, shortened

if TYPE_CHECKING:
    from jinja2 import Template

MOST_BYTES: Final = 150_000
"""Of a page, which is to be there at once, also on a telephone: pictures get what the rest leaves."""
_TEMPLATE: Final = "page.html"
_STYLE: Final = "page.css"
_SCRIPT: Final = "page.js"


def render_page(core: Core, names: Sequence[str]) -> Answer:
    """The page of a model; takes milliseconds, so not on the event loop.

    Args:
        core: the model that answers now.
        names: of all models of the server.
    """
    facts = {
        **page_facts(core),
        "others": [name for name in names if name != core.name],
        "style": Markup(_file(_STYLE)),  # noqa: S704 - our own file
        "script": Markup(_file(_SCRIPT)),  # noqa: S704 - our own file
    }
    bare = _template().render(**facts, pictures=(), pictures_left=PICTURES.values())
    pictures, left = pictures_of(core.model, MOST_BYTES - len(bare.encode()))
    body = _template().render(**facts, pictures=pictures, pictures_left=left).encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", _policy().encode()),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"vary", b"accept"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Answer(200, headers, body)


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - only for who looks at the page

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[[Any], str]] = {"figure": _figure, "whole": _whole, "share": _share}
    environment.filters |= {**filters, "shortened": shortened}
    return environment.from_string(_file(_TEMPLATE))


@cache
def _policy() -> str:
    """Content-Security-Policy: this style and script by their digests, requests to this server."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(_SCRIPT)}",
            f"style-src {_digest(_STYLE)}",
            "img-src data: blob:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _digest(name: str) -> str:
    return f"'sha256-{b64encode(sha256(_file(name).encode()).digest()).decode()}'"


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _whole(value: Any) -> str:
    return f"{value:,}"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"
