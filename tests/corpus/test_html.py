from __future__ import annotations

import pytest

from dpr.corpus.html import extract_html

PAGE = """<!DOCTYPE html><html><head><title> A &amp; B
 page </title><style>p {color: red}</style>
<script>if (a < b) { document.write("<p>no</p>") }</script></head>
<body><svg><title>no</title></svg><h1>First <em>part</em></h1><p>One
  two<br>three&nbsp;four.</p><!-- no --><div>Five<div>six</div></div>
<ul><li>a</li><li>b</ul><table><tr><td>c<td>d</tr><tr><td>e</table>
<pre>  x = 1

    y</pre><template><p>no</p></template>
<H2 id="x">Second</H2>End<hr/></body></html>"""


def test_what_a_reader_sees() -> None:
    text, headings, title = extract_html(PAGE)
    assert title == "A & B page"
    assert text == (
        "First part\n\nOne two\nthree\xa0four.\n\nFive\n\nsix\n\na\nb\n\nc d\ne\n\n"
        "  x = 1\n\n    y\n\nSecond\n\nEnd"
    )
    assert [(h.title, h.level, text[h.start :].split("\n")[0]) for h in headings] == [
        ("First part", 1, "First part"),
        ("Second", 2, "Second"),
    ]


@pytest.mark.parametrize(
    ("html", "text", "titles"),
    [
        ("plain <b>te</b>xt", "plain text", []),
        ("a<span> b</span> <i> c</i>", "a b c", []),
        ("<h1>Open<p>text</p><h2>Next</h2>", "Open\n\ntext\n\nNext", ["Open", "Next"]),
        ("<h1><div>Deep</div></h1>x", "Deep\n\nx", ["Deep"]),
        ("<h1> </h1><h2></h2>x", "x", []),
        ("<h3>At the end", "At the end", ["At the end"]),
        ("a<p>b<br><br>c", "a\n\nb\n\nc", []),
        ("&lt;p&gt; &#8217; &#0;", "<p> ’ \ufffd", []),
        ("<script>never closed <p>no</p>", "", []),
        ("<svg/>seen <svg><g></g>", "seen", []),
        ("<title>Never closed<body>x", None, []),
        (
            "<p>one</p><svg><path d='x'><p>two</p><h1>Three</h1>",
            "one\n\ntwo\n\nThree",
            ["Three"],
        ),
        ("<svg><g><svg><path><img>seen", "seen", []),
        ("<div><svg><path></div>seen</svg>", "seen", []),
        ("<p>a<svg><path></p>b", "a\n\nb", []),
        ("<svg><text>no</text><style>no</style><a>no</a></svg>seen", "seen", []),
        ("<svg><title>no</title><desc/><text>no</text></svg>seen", "seen", []),
        ("<svg><foreignObject><div>no</div><p>no</foreignObject>no</svg>seen", "seen", []),
        ("<svg><foreignObject><svg><p>no</p></foreignObject><b>seen", "seen", []),
        ("<svg><font>no</font><font color='red'>seen", "seen", []),
        ("<template><svg><p>no</p></template>seen", "seen", []),
        ("<noscript><p>no</p><svg><p>no</noscript>seen", "seen", []),
    ],
)
def test_details(html: str, text: str | None, titles: list[str]) -> None:
    extracted, headings, _ = extract_html(html)
    assert text is None or extracted == text
    assert [heading.title for heading in headings] == titles
    assert all(extracted.startswith(h.title, h.start) for h in headings)
