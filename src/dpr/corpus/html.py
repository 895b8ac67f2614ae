"""HTML -> text with paragraph breaks, and its headings.

Takes HTML as text; gives the text that a reader sees, the headings h1 to h6 and the title.
Offsets refer to the text that is given, not to the HTML. Outside <pre> white space is folded as
browsers do; paragraphs and other blocks are set apart by an empty line, list items and table rows
by a line end, cells by a space. Scripts, styles and templates are left out. Knows nothing of
files.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from dpr.corpus.headings import Heading

_SPACES = re.compile(r"[ \t\n\f\r]+")
_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_BLOCK_NAMES = (
    "address article aside blockquote body caption details dialog div dl fieldset figcaption "
    "figure footer form header hr html main nav ol p pre search section summary table ul"
)
_BLOCKS = _HEADINGS | frozenset(_BLOCK_NAMES.split())
_LINES = frozenset({"dd", "dt", "li", "option", "tr"})
_CELLS = frozenset({"td", "th"})
# The HTML standard's rules for foreign content: the tags that end an <svg> left open, and the parts
# of an <svg> that hold HTML, in which they do not.
_NO_SVG_NAMES = (
    "b big blockquote body br center code dd div dl dt em embed head hr i img li listing menu meta "
    "nobr ol p pre ruby s small span strong strike sub sup table tt u ul var"
)
_NO_SVG = _HEADINGS | frozenset(_NO_SVG_NAMES.split())
_NO_SVG_FONT = frozenset({"color", "face", "size"})
_HTML_IN_SVG = frozenset({"desc", "foreignobject", "title"})
_BREAKS = ("", " ", "\n", "\n\n")
_SPACE, _LINE, _PARAGRAPH = 1, 2, 3


class _Extractor(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.length = 0
        self.headings: list[Heading] = []
        self.title: str | None = None
        self._title_parts: list[str] | None = None
        self._break = 0
        self._pre = 0
        self._hidden: list[str] = []
        self._heading: tuple[int, str] | None = None  # where its parts begin, and its tag

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_title()
        if tag in _NO_SVG or (tag == "font" and not _NO_SVG_FONT.isdisjoint(dict(attrs))):
            self._leave_svg()
        if self._hidden:
            if tag in _HIDDEN or (tag in _HTML_IN_SVG and "svg" in self._hidden):
                self._hidden.append(tag)
        elif tag in _HIDDEN:
            self._hidden.append(tag)
        elif tag == "title" and self.title is None:
            self._title_parts = []
        elif tag == "br":
            self._break = _PARAGRAPH if self._break >= _LINE else _LINE
        else:
            self._separate(tag)
            if tag in _BLOCKS and self._in_heading():
                self._end_heading()  # left open
            if tag in _HEADINGS:
                self._heading = (len(self.parts), tag)
            self._pre += tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN or (tag in _HTML_IN_SVG and self._hidden):
            self._end_title()  # <svg/> hides nothing, and no end tag will follow
        else:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self._end_title()
        if tag in _NO_SVG:
            self._leave_svg()  # it ends what was opened before
        if self._hidden:
            if tag in self._hidden:
                while self._hidden.pop() != tag:
                    pass
            return
        if tag in _HEADINGS:
            self._end_heading()
        self._separate(tag)
        if tag == "pre" and self._pre:
            self._pre -= 1

    def handle_data(self, data: str) -> None:
        if self._title_parts is not None:
            self._title_parts.append(data)
        elif self._hidden:
            return
        elif self._pre:
            self._append(data)
        else:
            folded = _SPACES.sub(" ", data)
            if folded.startswith(" "):
                self._break = max(self._break, _SPACE)
            if folded.strip(" "):
                self._append(folded.strip(" "))
                self._break = _SPACE if folded.endswith(" ") else 0

    def close(self) -> None:
        super().close()
        self._end_title()
        self._end_heading()

    def _leave_svg(self) -> None:
        """End an <svg> that is open, unless a part of it that holds HTML is open too."""
        if "svg" in self._hidden:
            parts = (at for at, tag in enumerate(self._hidden, 1) if tag in _HTML_IN_SVG)
            first = max(parts, default=0)
            if "svg" in self._hidden[first:]:
                del self._hidden[self._hidden.index("svg", first) :]

    def _append(self, text: str) -> None:
        apart = _BREAKS[self._break] if self.length else ""
        self._break = 0
        self.parts += (apart, text)
        self.length += len(apart) + len(text)

    def _separate(self, tag: str) -> None:
        for tags, wanted in ((_BLOCKS, _PARAGRAPH), (_LINES, _LINE), (_CELLS, _SPACE)):
            if tag in tags:
                self._break = max(self._break, wanted)

    def _end_title(self) -> None:
        if self._title_parts is not None:
            self.title = _folded(self._title_parts)
            self._title_parts = None

    def _in_heading(self) -> bool:
        """Whether a heading is open and has text already."""
        return self._heading is not None and len(self.parts) > self._heading[0]

    def _end_heading(self) -> None:
        if self._heading is None:
            return
        first, tag = self._heading
        self._heading = None
        text = "".join(self.parts[first:])
        title = _folded([text])
        if title:
            start = self.length - len(text.lstrip())
            self.headings.append(Heading(start, title, int(tag[1])))


def _folded(parts: list[str]) -> str:
    return _SPACES.sub(" ", "".join(parts)).strip(" ")


def extract_html(html: str) -> tuple[str, list[Heading], str]:
    """The text of an HTML page, its headings with offsets into that text, and its title.

    Raises:
        ValueError: the parser gives up on a malformed declaration.
    """
    extractor = _Extractor()
    try:
        extractor.feed(html)
        extractor.close()
    except AssertionError as error:  # how html.parser refuses some marked sections
        raise ValueError(str(error)) from error
    return "".join(extractor.parts), extractor.headings, extractor.title or ""
