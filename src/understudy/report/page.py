"""``report.html`` and the cards, made from ``family.json`` and, where a study of bits was added, ``bits.json``."""

from __future__ import annotations

import shlex
from pathlib import Path

from markupsafe import Markup

from understudy.errors import SetupError
from understudy.family import ClassResult, Family, Member
from understudy.files import write_text
from understudy.neural_bits import NeuralBits
from understudy.report import curves
from understudy.report.balance import draw_balance
from understudy.report.bits import bits_context
from understudy.report.byte_bars import byte_bars
from understudy.report.findings import findings, half_interval
from understudy.report.frontier import axes_of, draw_frontier, formats_of
from understudy.report.snippets import snippets
from understudy.report.templates import template
from understudy.report.trials import trials_of

REPORT_FILENAME = "report.html"
CARD_FILENAME = "card.md"
WORST_CLASSES = 10


def write_report(family: Family, folder: str | Path) -> Path:
    """Write ``report.html`` into ``folder`` and ``card.md`` into the bundle folder of every member.

    Returns:
        The path of the report.

    Raises:
        SetupError: a folder is missing, unwritable or full.
    """
    folder = Path(folder)
    for member in family.members:
        if not (folder / member.path).is_dir():
            raise SetupError(
                f"members of a family lie in folders of their names: received folder={str(folder)!r} without {member.path!r}; "
                "move or rename it back, or run the job again"
            )
    for member in family.members:
        write_text(folder / member.path / CARD_FILENAME, render_card(family, member))
    write_text(folder / REPORT_FILENAME, render_report(family, bits=NeuralBits.load(folder)))
    return folder / REPORT_FILENAME


def render_report(family: Family, *, bits: NeuralBits | None = None) -> str:
    """Return the page: one HTML document that fetches nothing; ``bits`` gets a section."""
    test = family.data.splits.get("test")
    best = best_member(family)
    return template("report.html.j2", autoescape=True).render(
        family=family,
        best=best,
        formats=formats_of(family),
        findings=findings(family),
        frontiers=[
            (
                axis,
                draw_frontier(family, width=860, height=430, label_characters=24, axis=axis),
                draw_frontier(family, width=360, height=360, label_characters=14, farthest_baseline=4, axis=axis),
            )
            for axis in axes_of(family)
        ],
        half_interval=half_interval(best.accuracy, test.examples) if best and test else None,
        accuracy_curves={m.path: curves.accuracy_curves(m) for m in family.members},
        loss_curves={m.path: curves.loss_curves(m) for m in family.members},
        worst={m.path: _worst(m) for m in family.members},
        trials={m.path: trials_of(m) for m in family.members},
        byte_bars=byte_bars(family),
        balance=_balance(family),
        measurements=[(m, each) for m in family.members for each in m.measurements],
        snippets=snippets(best) if best else (),
        examples=f"{best.example}s" if best else "texts",
        command=shlex.join(family.command),
        bits=bits,
        **(bits_context(bits) if bits else {}),
    )


def render_card(family: Family, member: Member) -> str:
    """Return the Markdown model card of ``member``."""
    return template("card.md.j2", autoescape=False).render(family=family, member=member, snippets=snippets(member))


def best_member(family: Family) -> Member | None:
    """Return the member with the best validation accuracy, or None for an empty family."""
    return max(family.members, key=lambda member: member.validation_accuracy, default=None)


def _worst(member: Member) -> list[ClassResult]:
    tested = [result for result in member.per_class if result.support]
    return sorted(tested, key=lambda result: (result.f1, -result.support))[:WORST_CLASSES]


def _balance(family: Family) -> Markup | None:
    train = family.data.splits.get("train")
    return draw_balance(train.class_counts) if train and train.class_counts else None
