"""How a long job says where it stands; the command line draws it, a library caller may pass any object of this shape."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Listens to a job.

    Implementers: every method returns at once and raises nothing; ``advance`` is called thousands of times.
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` steps (None: unknown); the stage before it is over."""
        ...

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Count ``n`` more steps of the stage; ``metrics`` replaces the values that are shown beside them."""
        ...

    def note(self, message: str) -> None:
        """Say one line that stays readable after the stage is over, such as a warning."""
        ...


class SilentProgress:
    """A ``Progress`` that shows nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Show nothing."""

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Show nothing."""
