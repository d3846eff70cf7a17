"""The templates of pages and cards, with the filters that word their numbers."""

from __future__ import annotations

from pathlib import Path

import jinja2

from understudy.formats import FLOAT_FORMATS, LIMIT_WORDS
from understudy.program.islands import ISLAND_STEPS
from understudy.program.real import REAL_TOLERANCE
from understudy.report import wording
from understudy.report.findings import lowest_accuracy
from understudy.units import format_bytes

_HERE = Path(__file__).parent


def template(name: str, *, autoescape: bool) -> jinja2.Template:
    """Return the template ``name`` of this folder."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=autoescape,  # noqa: S701 - off for Markdown only, which has its own filter
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        size=format_bytes,
        percent=wording.percent,
        agreement=wording.agreement,
        points=wording.points,
        number=wording.count,
        latency=wording.latency,
        microseconds=wording.microseconds,
        duration=wording.seconds,
        visible=wording.visible,
        warning=wording.warning,
        short=wording.short,
        recipe=wording.recipe,
        md=wording.markdown,
        claimed=lowest_accuracy,
    )
    environment.globals.update(
        island_steps=ISLAND_STEPS, float_formats=FLOAT_FORMATS, real_tolerance=REAL_TOLERANCE, limit_words=LIMIT_WORDS
    )
    return environment.get_template(name)
