"""A text in memory as readers of data files open one."""

from __future__ import annotations

import io

from understudy.data.table import OpenText


def text_of(content: str) -> OpenText:
    """Return what opens ``content`` from its beginning, as often as it is asked to."""
    return lambda newline: io.StringIO(content, newline=newline)
