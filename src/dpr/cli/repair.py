"""``dpr repair``: what is broken in a collection is dropped or made again.

Takes a folder, gives a report and an exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpr.cli import terminal
from dpr.cli.options import CollectionFolder, Json
from dpr.cli.running import FAILED

if TYPE_CHECKING:
    from dpr.collection import Repaired

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
SHOWN = 20


def repair(collection: CollectionFolder, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Mend a damaged collection, keep only what is proven, and say what was lost.

    Exits with 1 where passages were lost, with 0 where there was nothing to do or all was mended.
    Documents that lost passages come back the next time that their source is synced. Words are
    counted again; an index is made again by [bold]dpr tune[/].

    With --json: {"path", "version", "dry_run", "findings": [{"file", "problem"}], "lost",
    "unnamed", "documents": [{"document", "source", "lost", "kept"}], "parts": [{"segment",
    "kind"}]}.

    [bold]Examples[/]

      dpr repair docs.dpr --dry-run

      dpr repair docs.dpr
    """
    from dpr.pipeline.repairing import repair as mend

    report = mend(collection, trial=dry_run)
    if as_json:
        terminal.json_line({"path": str(collection), "dry_run": dry_run, **_values(report)})
    else:
        for finding in report.findings:
            terminal.line(f"{finding.file}: {finding.problem}")
        for line in _lines(report, dry_run):
            terminal.line(line)
    if report.lost:
        raise typer.Exit(FAILED)


def _values(report: Repaired) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "version": report.manifest.version,
        "findings": [asdict(one) for one in report.findings],
        "lost": report.lost,
        "unnamed": report.unnamed,
        "documents": [asdict(one) for one in report.documents],
        "parts": [{"segment": one.segment, "kind": one.part.kind} for one in report.parts],
    }


def _lines(report: Repaired, dry_run: bool) -> list[str]:
    if not report.findings:
        return [f"version {report.manifest.version} is whole; nothing was changed"]
    lines = [
        f"the {one.part.kind} of segment {one.segment} cannot be kept: "
        + ("made again" if one.part.kind == "words" else "`dpr tune` makes it again")
        for one in report.parts
    ]
    for one in report.documents[:SHOWN]:
        source = f" ({one.source})" if one.source else ""
        if one.lost:
            lines.append(f"{one.document}{source}: {one.lost} passages lost, {one.kept} kept")
        else:
            lines.append(f"{one.document}{source}: may have lost passages, {one.kept} kept")
    if len(report.documents) > SHOWN:
        lines.append(f"and {len(report.documents) - SHOWN} more documents: see --json")
    if report.unnamed:
        lines.append(f"{report.unnamed} passages lost whose documents are not known")
    kept = report.manifest.rows - (report.lost if dry_run else 0)
    if report.lost:
        lines.append("sync the sources again to bring back what was lost")
    what = "can be mended" if dry_run else "mended"
    lost = f"{report.lost} passages lost" if report.lost else "no passage lost"
    return [*lines, f"{what}: {lost}, {kept} kept (version {report.manifest.version})"]
