"""A small picture as SVG: the same input gives the same bytes, in light and dark, with words for screen readers.

Own functions, since a few lines and rectangles need no library: matplotlib and what it needs are 60 MB of an image.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as Xml

MAX_LABEL: Final = 24
"""Characters of a label in a picture."""
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""
_NARROW, _WIDE = 7, 13
_NAMESPACE = "http://www.w3.org/2000/svg"
# Plain classes and no custom properties, which viewers outside of browsers do not know. The ground has a colour of its
# own: the page that shows the picture may be light where the reader's system is dark.
_STYLE: Final = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}"
    ".title{font-weight:600;font-size:14px}"
    ".end{text-anchor:end}.middle{text-anchor:middle}"
    ".ground{fill:#fff}.grid{stroke:#d1d9e0;fill:none}.axis{stroke:#59636e;fill:none}"
    ".line{fill:none;stroke-width:2}.dashed{stroke-dasharray:6 4}"
    ".line.a{stroke:#0969da}.line.b{stroke:#bc4c00}"
    ".fill.a{fill:#0969da}.fill.b{fill:#bc4c00}.faint{fill:#0969da;fill-opacity:.15}"
    "text.on{fill:#fff}"
    "@media(prefers-color-scheme:dark){"
    "text{fill:#f0f6fc}.ground{fill:#0d1117}.grid{stroke:#3d444d}.axis{stroke:#9198a1}"
    ".line.a{stroke:#58a6ff}.line.b{stroke:#f0883e}.fill.a{fill:#58a6ff}.fill.b{fill:#f0883e}.faint{fill:#58a6ff}"
    "text.on{fill:#0d1117}}"
)


class Picture:
    """Shapes in the order in which they are drawn; lengths are pixels, from the top left corner.

    Args:
        width: of the picture.
        height: of the picture.
        title: what it shows, in a few words; drawn at the top, too.
        description: what can be seen in it, in sentences.
    """

    def __init__(self, *, width: int, height: int, title: str, description: str) -> None:
        size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
        spoken = {"role": "img", "aria-labelledby": "title description"}
        self._root = Xml.Element("svg", {"xmlns": _NAMESPACE, **size, **spoken})
        Xml.SubElement(self._root, "title", {"id": "title"}).text = _writable(title)
        Xml.SubElement(self._root, "desc", {"id": "description"}).text = _writable(description)
        Xml.SubElement(self._root, "style").text = _STYLE
        self.rectangle(0, 0, width, height, "ground")
        self.text(16, 22, title, "title")

    def rectangle(self, x: float, y: float, width: float, height: float, look: str, *, opacity: float = 1.0) -> None:
        """A rectangle by its upper left corner; ``look`` are classes of the style."""
        shape = {"x": _number(x), "y": _number(y), "width": _number(width), "height": _number(height), "class": look}
        if opacity < 1:
            shape["fill-opacity"] = f"{opacity:.2f}"
        Xml.SubElement(self._root, "rect", shape)

    def line(self, points: list[tuple[float, float]], look: str) -> None:
        """Straight lines from point to point."""
        joined = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        Xml.SubElement(self._root, "polyline", {"points": joined, "class": look})

    def dots(self, points: list[tuple[float, float]], radius: float, look: str, *, opacity: float = 1.0) -> None:
        """A dot at each point."""
        group = Xml.SubElement(self._root, "g", {"class": look, "fill-opacity": f"{opacity:.2f}"})
        for x, y in points:
            Xml.SubElement(group, "circle", {"cx": _number(x), "cy": _number(y), "r": _number(radius)})

    def text(self, x: float, y: float, text: str, look: str = "", *, turned: bool = False) -> None:
        """A line of text that begins at a point, on its base line; ``turned`` reads upwards."""
        place = {"x": _number(x), "y": _number(y), **({"class": look} if look else {})}
        if turned:
            place["transform"] = f"rotate(-90 {_number(x)} {_number(y)})"
        Xml.SubElement(self._root, "text", place).text = _writable(text)

    def content(self) -> bytes:
        """The file."""
        return Xml.tostring(self._root, encoding="unicode").encode() + b"\n"


def label(text: str) -> str:
    """A text from the data as a label: one line, cut to a length that a picture has room for."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_LABEL else f"{line[: MAX_LABEL - 1]}\u2026"


def room_for(texts: Iterable[str]) -> int:
    """Pixels that the longest of some labels takes at most; letters of East Asia are twice as wide as others."""
    return max(
        sum(_WIDE if unicodedata.east_asian_width(letter) in "FW" else _NARROW for letter in label(text))
        for text in texts
    )


def _writable(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def _number(value: float) -> str:
    """To a tenth of a pixel."""
    # Adding 0.0 makes a rounded -0.0 an ordinary zero.
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")
