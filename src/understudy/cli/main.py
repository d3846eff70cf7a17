"""The command ``understudy``: its verbs, and the outermost line where errors become one line and an exit code.

Importing this file is cheap on purpose: a verb imports what it needs when it runs.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from understudy.cli import bench, compress, demo, devices, doctor, evaluate, export, init, keys, predict, report, study
from understudy.cli.output import print_json
from understudy.errors import SetupError, UnderstudyError, missing_package

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
PIPE_CLOSED = 141
"""128 + SIGPIPE, as shells report a command whose reader left early."""
USAGE = 2
_REFUSED_BY_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}


class _Interrupted(Exception):  # noqa: N818 - no error, but it must not be a KeyboardInterrupt, which typer swallows
    """Ctrl-C inside a verb."""


class _ReaderLeft(Exception):  # noqa: N818 - no error, but it must not be a BrokenPipeError, which typer turns into exit code 1
    """Whoever read the output of a verb wants no more."""


class _Verbs(TyperGroup):
    """Tells an interruption apart from a verb that ends with the same exit code after printing what it has."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise _Interrupted(*error.args) from None
        except BrokenPipeError:
            raise _ReaderLeft from None


app = typer.Typer(
    cls=_Verbs,
    name="understudy",
    help="A big model and a size budget in, a family of small verified models out.",
    epilog="Exit codes: 0 done, 1 our bug, 2 your input, 3 a budget or limit is not met, 4 your environment, 5 a bad bundle, "
    "6 a file disagrees with the reference, 130 interrupted.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
for verb in (
    init.init,
    compress.compress,
    predict.predict,
    evaluate.evaluate,
    bench.bench,
    export.export,
    keys.keys,
    demo.demo,
    report.report,
    study.study,
    devices.devices,
    doctor.doctor,
):
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        from understudy.version import installed_version

        typer.echo(f"understudy {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A big model and a size budget in, a family of small verified models out."""


def main() -> None:
    """Run the command line of this process and exit with its code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this: nobody wants to read it
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a label may hold what the terminal's encoding does not
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        code = code or PIPE_CLOSED
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line ``arguments`` and return its exit code; errors are printed here and nowhere else."""
    as_json = "--json" in arguments
    try:
        result = app(args=list(arguments) or ["--help"], prog_name="understudy", standalone_mode=False, obj=tuple(arguments))
    except UnderstudyError as error:
        return _fail(type(error).__name__, str(error), error.exit_code, as_json=as_json)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "understudy"
        received = _received(getattr(getattr(error, "param", None), "opts", ()), arguments)
        message = f"{error.format_message().rstrip('.')}{received}; run: {command} --help"
        return _fail("UsageError", message, USAGE, as_json=as_json)
    except (_Interrupted, KeyboardInterrupt) as error:
        kept = str(error) or "nothing was recorded, run the same command again"
        return _fail(
            KeyboardInterrupt.__name__,
            f"interrupted; {kept}",
            INTERRUPTED,
            as_json=as_json,
        )
    except (_ReaderLeft, BrokenPipeError):
        _discard_output()
        return PIPE_CLOSED
    except ModuleNotFoundError as error:
        if error.name != "torch":
            return _bug(error, as_json=as_json)
        missing = missing_package(purpose="this", package="torch")  # verbs that run finished bundles do without it
        return _fail(SetupError.__name__, str(missing), missing.exit_code, as_json=as_json)
    except OSError as error:
        if error.errno not in _REFUSED_BY_MACHINE:
            return _bug(error, as_json=as_json)
        # an output that is no file has no name
        received = f"path={error.filename!r} ({error.strerror})" if error.filename else f"error={error.strerror!r}"
        message = f"files must be readable and writable: received {received}; check permissions and free space"
        return _fail(SetupError.__name__, message, SetupError.exit_code, as_json=as_json)
    except MemoryError as error:
        message = (
            f"a command must get the memory it asks for: received error={str(error)!r}; close other programs, run it again"
        )
        return _fail(SetupError.__name__, message, SetupError.exit_code, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the outermost line
        return _bug(error, as_json=as_json)
    return result if isinstance(result, int) else 0


def _received(options: Sequence[str], arguments: Sequence[str]) -> str:
    """Return what was given to the one of ``options`` that is there, for a message; typer says only what it should be."""
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, is_joined, value = word.partition("=")
        if name in options:
            return f": received {name}={(value if is_joined else following)!r}"
    return ""


def _fail(kind: str, message: str, code: int, *, as_json: bool) -> int:
    line = " ".join(message.split("\n"))
    if as_json:
        with contextlib.suppress(OSError):  # where the document cannot be written either, the line below is left
            print_json({"error": {"type": kind, "message": line, "exit_code": code}})
    typer.echo(f"error: {line}", err=True)
    return code


def _bug(error: Exception, *, as_json: bool) -> int:
    traceback.print_exception(error)
    message = f"this is a bug in understudy ({type(error).__name__}: {error}); please report it with the lines above"
    return _fail("Bug", message, 1, as_json=as_json)


def _discard_output() -> None:
    """Point standard output at nothing, so that the exit does not trip over the closed pipe again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
