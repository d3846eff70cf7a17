"""understudy: a big model and a size budget in, a family of small verified models out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.bundle import Bundle
    from understudy.family import Family
    from understudy.pipeline import compress
    from understudy.teachers.loaded import load_teacher

__all__ = ["Bundle", "Family", "compress", "load_teacher"]

_HOME = {
    "Bundle": "understudy.bundle",
    "Family": "understudy.family",
    "compress": "understudy.pipeline",
    "load_teacher": "understudy.teachers.loaded",
}


def __dir__() -> list[str]:
    """Return what a shell offers after ``understudy.``, also what is not imported yet."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import understudy`` stays instant and needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'understudy' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
