"""What everyone's exporters are tested with: the suite that each format of understudy passes.

In a test module of another package::

    class TestMyFormat(FormatSuite):
        exporter = MyExporter()

Needs pytest.
"""

from understudy.testing.formats import CASES, FEATURES, Case, Features, FormatSuite

__all__ = ["CASES", "FEATURES", "Case", "Features", "FormatSuite"]
