"""Matplotlib's SVG made fit for a page: colours become classes, so that they follow the scheme.

Takes an SVG whose colours are those of ``COLOURS``, gives an ``<svg>`` without styles, metadata,
widths and foreign ids, which the same figure always gives byte for byte. A style attribute would
also need a hole in the page's content security policy.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from dpr.evaluation.report.parts import SERIES

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
# A colour that stands for a class of the style sheet: fill-…, line-….
COLOURS = {f"{number}": f"#a0000{number}" for number in range(SERIES)} | {
    "ink": "#b00001",
    "muted": "#b00002",
    "rule": "#b00003",
    "win": "#b00004",
    "loss": "#b00005",
    "paper": "#b00006",
}
_CLASSES = {colour: name for name, colour in COLOURS.items()}
_KEPT = {
    "stroke-width",
    "stroke-dasharray",
    "stroke-linecap",
    "stroke-linejoin",
    "opacity",
    "fill-opacity",
    "stroke-opacity",
    "text-anchor",
}
_DECIMALS = re.compile(r"-?\d+\.\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")
_GEOMETRY = ("d", "x", "y", "width", "height", "transform", "stroke-width", "stroke-dasharray")


def fit(text: str, prefix: str) -> str:
    """The inner markup of a page's picture from matplotlib's SVG.

    Args:
        prefix: makes the ids of this picture its own; of letters and digits.
    """
    root = ElementTree.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                parent.remove(child)
    used = set(_REFERENCE.findall(text))
    for element in root.iter():
        _clean(element, used, prefix)
    _prune(root)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("class", "drawing")
    root.set("aria-hidden", "true")
    ElementTree.register_namespace("", SVG[1:-1])
    drawn = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    return re.sub(r">\s+<", "><", drawn).replace(f' xmlns="{SVG[1:-1]}"', "", 1)


def _clean(element: ElementTree.Element, used: set[str], prefix: str) -> None:
    """Style to classes and attributes, ids to this picture's own, coordinates to two decimals."""
    attributes = element.attrib
    classes = []
    for declaration in attributes.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name in ("fill", "stroke"):
            if value == "none":
                attributes[name] = value
            else:
                classes.append(f"{'fill' if name == 'fill' else 'line'}-{_CLASSES[value]}")
        elif name in _KEPT:
            attributes[name] = value
    if classes:
        attributes["class"] = " ".join(classes)
    name = attributes.pop("id", "")
    if name in used:
        used.remove(name)  # matplotlib defines the marks of each axes anew, under the same id
        attributes["id"] = prefix + name
    if LINK in attributes:
        attributes["href"] = f"#{prefix}{attributes.pop(LINK)[1:]}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("#", f"#{prefix}")
    for name in _GEOMETRY:
        if name in attributes:
            rounded = _DECIMALS.sub(lambda one: f"{float(one[0]):.2f}", attributes[name])
            attributes[name] = " ".join(rounded.replace(".00", "").split())


def _prune(element: ElementTree.Element) -> None:
    """Groups that only hold one child say nothing."""
    for place, child in enumerate(list(element)):
        _prune(child)
        while child.tag == f"{SVG}g" and not child.attrib and len(child) == 1:
            child = child[0]
        element[place] = child
