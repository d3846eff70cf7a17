"""What everyone's exporters are tested with: the suite that each format of understudy passes.

In a test module of another package::

    class TestMyFormat(FormatSuite):
        exporter = MyExporter()
        reads = ("text",)  # only where it cannot hold images, sounds or vectors

Needs pytest.
"""

from understudy.testing.formats import (
    CASES,
    FEATURES,
    IMAGE_CASES,
    SCAN_CASES,
    SOUND_CASES,
    TEXT_CASES,
    VECTOR_CASES,
    Case,
    Features,
    FormatSuite,
)

__all__ = [
    "CASES",
    "FEATURES",
    "IMAGE_CASES",
    "SCAN_CASES",
    "SOUND_CASES",
    "TEXT_CASES",
    "VECTOR_CASES",
    "Case",
    "Features",
    "FormatSuite",
]
