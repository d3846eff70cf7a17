"""What the README tells a reader to type is typed here.

A shell or Python block stands below a comment: ``<!-- executed -->``, or ``<!-- not executed here: why -->``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^(?:<!-- (?P<marker>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    marker: str | None
    language: str
    content: str

    @property
    def executed(self) -> bool:
        return self.marker == "executed"


BLOCKS = [Block(match["marker"], match["language"], match["content"]) for match in FENCE.finditer(README)]


def run(command: list[str], *, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the one file that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "tests" / "data").mkdir(parents=True)
    shutil.copy(REPOSITORY / "tests" / "data" / "tiny.csv", folder / "tests" / "data" / "tiny.csv")
    return folder


def test_every_block_says_whether_it_is_executed() -> None:
    assert BLOCKS
    for block in BLOCKS:
        assert block.language in ("sh", "python"), block
        assert block.marker is not None, block
        assert block.executed or block.marker.startswith("not executed here: "), block


def test_both_languages_are_executed() -> None:
    assert {block.language for block in BLOCKS if block.executed} == {"sh", "python"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [i for i, block in enumerate(BLOCKS) if block.executed])
def test_a_block_runs(number: int, folder: Path) -> None:
    block = BLOCKS[number]
    script = folder / f"block_{number}"
    script.write_text(block.content, encoding="utf-8")
    command = [sys.executable, "-W", "error"] if block.language == "python" else ["bash", "-euo", "pipefail"]
    done = run([*command, script.name], folder=folder)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))))
def test_every_make_target_exists(target: str) -> None:
    done = run(["make", "--dry-run", target], folder=REPOSITORY)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (REPOSITORY / link).exists()
