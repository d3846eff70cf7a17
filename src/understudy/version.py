"""The version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the version of understudy, or ``unknown`` when it runs from a source tree that is not installed."""
    try:
        return version("understudy")
    except PackageNotFoundError:
        return "unknown"
