from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.errors import InputError, MissingExtraError


def pdf(*pages: str, title: str = "") -> bytes:
    """A small PDF, one line of Helvetica a page."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, text in enumerate(pages):
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * n} 0 R >>"
        )
        stream = f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET" if text else ""
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    return (
        f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\n"
        f"startxref\n{len(body)}\n%%EOF\n"
    ).encode("latin-1")


def test_pdf(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf("First page.", "", "Second page.", title="Report"))
    [document] = read_documents(path)
    assert (document.title, document.text) == ("Report", "First page.\n\nSecond page.")
    path.write_bytes(pdf("No title."))
    [document] = read_documents(path)
    assert document.title == "a"


@pytest.mark.parametrize(
    ("data", "told"),
    [(pdf(""), "holds no text"), (b"%PDF-1.4\nnothing", "as PDF"), (b"plain", "as PDF")],
)
def test_a_pdf_without_text_or_sense(tmp_path: Path, data: bytes, told: str) -> None:
    pytest.importorskip("pypdf")
    path = tmp_path / "a.pdf"
    path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        list(read_documents(path))


def test_an_encrypted_pdf(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    plain, path = tmp_path / "plain.pdf", tmp_path / "a.pdf"
    plain.write_bytes(pdf("Secret."))
    writer = pypdf.PdfWriter(clone_from=plain)
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(path)
    with pytest.raises(InputError, match="encrypted"):
        list(read_documents(path))


def test_docx(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    path = tmp_path / "a.docx"
    made = docx.Document()
    made.core_properties.title = ""
    made.add_heading("The whole", level=0)
    made.add_paragraph("Some words.")
    made.add_heading(" Part\none ", level=1)
    made.add_paragraph("")
    table = made.add_table(rows=2, cols=2)
    for number, cell in enumerate(table._cells):
        cell.text = f"c{number}"
    made.add_paragraph("End.")
    made.save(str(path))
    [document] = read_documents(path)
    assert document.title == "The whole"
    assert document.text == "The whole\n\nSome words.\n\n Part\none \n\nc0\tc1\nc2\tc3\n\nEnd."
    assert [section.title for section in document.sections] == ["The whole", "Part one"]
    assert document.text[document.sections[1].start :].startswith("Part\none")
    made.core_properties.title = "Declared"
    made.save(str(path))
    assert [document.title for document in read_documents(path)] == ["Declared"]


def test_a_merged_cell_stands_once(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    path = tmp_path / "a.docx"
    made = docx.Document()
    table = made.add_table(rows=5, cols=3)
    for first, last in (((0, 0), (0, 1)), ((0, 2), (1, 2)), ((2, 0), (3, 2))):
        table.cell(*first).merge(table.cell(*last))
    for place, text in {
        (0, 0): "wide",
        (0, 2): "high",
        (1, 0): "same",
        (1, 1): "same",
        (2, 0): "both",
        (4, 0): "same",
        (4, 2): "end",
    }.items():
        table.cell(*place).text = text
    made.save(str(path))
    [document] = read_documents(path)
    assert document.text == "wide\thigh\nsame\tsame\nboth\nsame\t\tend"


def test_a_docx_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("docx")
    path = tmp_path / "a.docx"
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match=r"cannot be read as \.docx"):
        list(read_documents(path))


@pytest.mark.parametrize(("name", "module"), [("a.pdf", "pypdf"), ("a.docx", "docx")])
def test_the_extra_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"anything")
    (tmp_path / "b.txt").write_text("text")
    with pytest.raises(MissingExtraError, match=r"dense-passage-retrieval\[docs\]"):
        list(read_documents(tmp_path))
    problems = Problems()
    documents = read_documents(tmp_path, SourceSettings(on_error="skip"), problems)
    assert [document.id for document in documents] == ["b.txt"]
    assert [item.source for item in problems.items] == [str(tmp_path / name)]
