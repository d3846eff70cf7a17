"""A browser as a process: it is many that write a profile, and none is left behind, also where Ctrl-C ends the command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_END_SECONDS = 10.0
"""How long killed processes may take to be gone."""
_SOCKET_BYTES = len("/org.chromium.Chromium.XXXXXX/SingletonSocket")


@contextlib.contextmanager
def browser_folder() -> Iterator[Path]:
    """Yield a folder for a page and a profile, which is removed afterwards."""
    # a straggler may still write its profile, which must not hide why the command ends
    with tempfile.TemporaryDirectory(prefix="understudy-browser-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary)


def run_whole_group(command: Sequence[str], *, folder: Path, limit_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end; whatever else ends this, the processes that it started end before.

    Args:
        command: the browser and its arguments.
        folder: takes its temporary files.
        limit_seconds: how long it may take.

    Raises:
        subprocess.TimeoutExpired: it takes longer than ``limit_seconds``.
    """
    # in a session of its own Ctrl-C reaches this process alone, which then ends the whole group
    with subprocess.Popen(
        command,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, said = process.communicate(timeout=limit_seconds)
        except BaseException:
            _end_group(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, said)


def _environment(folder: Path) -> dict[str, str]:
    # a browser that is ended leaves a folder with a socket among the temporary files; the path of a socket has 107 bytes
    fits = len(os.fsencode(folder)) + _SOCKET_BYTES <= 107
    return {**os.environ, "TMPDIR": str(folder)} if fits else dict(os.environ)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill the group of ``process`` and wait until none of it holds the pipes that all of them write to."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=_END_SECONDS)
