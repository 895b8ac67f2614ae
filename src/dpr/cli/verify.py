"""``dpr verify``: whether a collection is whole, byte by byte.

Takes a folder, gives findings and an exit code.
"""

from __future__ import annotations

from dataclasses import asdict

import typer

from dpr.cli import terminal
from dpr.cli.options import CollectionFolder, Json
from dpr.cli.running import FAILED


def verify(collection: CollectionFolder, as_json: Json = False) -> None:
    """Check every byte of a collection; exits with 1 where something is wrong.

    With --json: {"path", "findings": [{"file", "problem"}]}.

    [bold]Examples[/]

      dpr verify docs.dpr

      dpr verify docs.dpr --json
    """
    from dpr.collection import verify as check

    findings = check(collection)
    if as_json:
        found = [asdict(finding) for finding in findings]
        terminal.json_line({"path": str(collection), "findings": found})
    else:
        for finding in findings:
            terminal.line(f"{finding.file}: {finding.problem}")
        count = f"{len(findings)} findings" if findings else "whole"
        terminal.line(f"{collection}: {count}")
    if findings:
        raise typer.Exit(FAILED)
