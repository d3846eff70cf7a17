"""``understudy report``: writes report.html and the cards again from family.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.output import JsonFlag, print_json


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that compress wrote, such as runs/intents.")],
    as_json: JsonFlag = False,
) -> None:
    """Write report.html and the cards again from family.json."""
    from understudy.family import Family
    from understudy.report.page import CARD_FILENAME, write_report

    family = Family.load(run)
    folder = run if run.is_dir() else run.parent
    page = write_report(family, folder)
    cards = [folder / member.path / CARD_FILENAME for member in family.members]
    if as_json:
        print_json({"report": str(page), "cards": [str(card) for card in cards]})
        return
    for path in (*cards, page):
        typer.echo(str(path))
