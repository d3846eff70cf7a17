"""What is installed on this machine, and which formats and teachers are available with it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from understudy.devices.browser_onnx import onnxruntime_web
from understudy.errors import SetupError, UnderstudyError, missing_package
from understudy.export.c_session import c_compiler
from understudy.export.registry import exporter
from understudy.export.wasm import wasm_compiler
from understudy.export.wasm_session import node_version
from understudy.formats import added_formats, ignored_formats, source
from understudy.settings import ProcessorChoice
from understudy.version import installed_version

REQUIRED = ("jinja2", "joblib", "numpy", "optuna", "pydantic", "rich", "scikit-learn", "scipy", "torch", "typer")
"""Packages that every installation has; ``pyproject.toml``."""
EXTRAS = {
    "onnx": ("onnx", "onnxruntime"),
    "litert": ("ai-edge-litert", "flatbuffers"),
    "coreml": ("coremltools",),
    "executorch": ("executorch", "flatbuffers"),
    "parquet": ("pyarrow",),
    "image": ("pillow",),
    "encrypt": ("cryptography",),
    "prune": ("torch-pruning",),
    "keras": ("keras",),
    "tensorflow": ("tensorflow",),
}
"""Extra to the packages that it brings; ``pyproject.toml``."""
TARGETS = {
    "Cortex-M devices": ("arm-none-eabi-gcc", "qemu-system-arm"),
    "aarch64": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "armhf": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
    "riscv64": ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
    "browser": ("chromium", "clang", "wasm-ld"),
    "Android devices": ("adb",),
}
"""What ``bench --on`` runs beside the host, to the commands that it needs."""
_IMPORTED_AS = {
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "ai-edge-litert": "ai_edge_litert",
    "torch-pruning": "torch_pruning",
}


@dataclass(frozen=True)
class Package:
    """One package; ``version`` is None when it is not installed, ``extra`` is None when every installation has it."""

    name: str
    version: str | None
    extra: str | None


@dataclass(frozen=True)
class Ability:
    """Something that understudy can do here or not.

    Attributes:
        name: what the user writes: a format, or a kind of teacher.
        available: it works here.
        how: what does it, or what is missing.
        install: the command that makes it available, or None.
    """

    name: str
    available: bool
    how: str
    install: str | None


@dataclass(frozen=True)
class Environment:
    """The machine, its packages, and what follows from them."""

    understudy: str
    python: str
    system: str
    cpu_count: int
    packages: tuple[Package, ...]
    formats: tuple[Ability, ...]
    teachers: tuple[Ability, ...]
    inputs: tuple[Ability, ...]
    targets: tuple[Ability, ...]
    processors: tuple[Ability, ...]


def inspect_environment() -> Environment:
    """Return what is installed here; of what is heavy, torch alone is imported, and formats of other packages."""
    packages = tuple(_packages())
    versions = {package.name: package.version for package in packages}
    return Environment(
        understudy=installed_version(),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu_count=os.cpu_count() or 1,
        packages=packages,
        formats=tuple(_formats(versions)),
        teachers=(
            _built_in("Python function", "package.module:name or file.py:name"),
            _from_packages("torch module", ("torch",), "pip install torch", versions),
            _built_in("saved logits (.npz)", "numpy"),
            _from_extra("saved logits (.parquet)", "parquet", versions),
            _from_extra("torch module to prune", "prune", versions),
            _from_packages("ONNX file (.onnx)", ("onnxruntime",), _pip("onnx"), versions),
            _from_packages("LiteRT file (.tflite)", ("ai-edge-litert",), _pip("litert"), versions),
            _from_extra("Keras file (.keras, .h5)", "keras", versions),
            _from_extra("SavedModel folder", "tensorflow", versions),
            _from_packages("auto (trained here)", ("torch", "scikit-learn"), "pip install torch scikit-learn", versions),
        ),
        inputs=(
            _built_in("CSV, TSV, JSONL", "Python"),
            _from_extra("Parquet", "parquet", versions),
            _built_in("images (NPZ, IDX)", "numpy"),
            _built_in("vectors and windows (NPZ, tables)", "numpy"),
            _built_in("sounds (WAV)", "numpy"),
            _from_extra("pictures (PNG, JPEG, WebP)", "image", versions),
        ),
        targets=(*(_from_commands(name, commands) for name, commands in TARGETS.items()), _onnx_in_a_browser()),
        processors=tuple(_processors(versions)),
    )


def check_processor(choice: ProcessorChoice) -> None:
    """Let a ``choice`` that can be met pass; torch, which takes seconds to import, is asked only for a graphics card.

    Raises:
        SetupError: torch is not installed, or a graphics card was asked for, and there is none that works.
    """
    if find_spec("torch") is None:
        raise missing_package(purpose="training students", package="torch")
    if choice == "cuda":
        from understudy.training.processor import processor_for

        processor_for("cuda")


def _processors(versions: dict[str, str | None]) -> Iterator[Ability]:
    if versions["torch"] is None:
        yield Ability("processor", False, "missing: torch", "pip install torch")
        return
    from understudy.training.processor import Processor, processor_for

    found = processor_for("auto")
    yield Ability("processor", True, Processor().describe(), None)
    install = None if found.is_gpu else "install torch for CUDA, with the graphics card's driver"
    yield Ability("graphics card", found.is_gpu, found.describe() if found.is_gpu else found.reason, install)


def _packages() -> Iterator[Package]:
    for name in REQUIRED:
        yield Package(name, _version_of(name), None)
    for extra, names in EXTRAS.items():
        for name in names:
            yield Package(name, _version_of(name), extra)


def _version_of(name: str) -> str | None:
    """Return the version of a package that can be imported."""
    if find_spec(_IMPORTED_AS.get(name, name)) is None:
        return None
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _pip(extra: str) -> str:
    return f"pip install 'understudy[{extra}]'"


def _built_in(name: str, how: str) -> Ability:
    return Ability(name, True, how, None)


def _from_extra(name: str, extra: str, versions: dict[str, str | None]) -> Ability:
    return _from_packages(name, EXTRAS[extra], _pip(extra), versions)


def _from_packages(name: str, needed: tuple[str, ...], install: str, versions: dict[str, str | None]) -> Ability:
    missing = [package for package in needed if versions[package] is None]
    if missing:
        return Ability(name, False, f"missing: {', '.join(missing)}", install)
    return Ability(name, True, ", ".join(f"{package} {versions[package]}" for package in needed), None)


def _formats(versions: dict[str, str | None]) -> Iterator[Ability]:
    yield _from_extra("onnx", "onnx", versions)
    yield _from_extra("litert", "litert", versions)
    yield _compiled_format("c")
    yield _built_in("python", f"numpy {versions['numpy']}")
    yield _wasm_format("wasm")
    yield _compiled_format("arduino")
    yield _from_extra("coreml", "coreml", versions)
    yield _from_extra("executorch", "executorch", versions)
    yield _from_extra("executorch_xnnpack", "executorch", versions)
    yield _from_extra("onnx_float", "onnx", versions)
    yield _from_extra("litert_float", "litert", versions)
    yield _from_extra("coreml_float", "coreml", versions)
    yield _from_extra("executorch_float", "executorch", versions)
    yield _compiled_format("c_float")
    yield _built_in("python_float", f"numpy {versions['numpy']}")
    yield _wasm_format("wasm_float")
    yield _compiled_format("arduino_float")
    for name, point in added_formats().items():
        yield _added_format(name, f"{point.value}, of {source(point)}")
    for point in ignored_formats():
        how = f"ignored: {point.value}, because understudy has a format of that name"
        yield Ability(f"{point.name} of {source(point)}", False, how, "choose another name for its entry point")


def _from_commands(name: str, commands: tuple[str, ...]) -> Ability:
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        install = "apt-get install adb" if "adb" in missing else "make devices"
        return Ability(name, False, f"missing: {', '.join(missing)}", install)
    return Ability(name, True, ", ".join(commands), None)


def _onnx_in_a_browser() -> Ability:
    try:
        folder = onnxruntime_web()
    except SetupError:
        return Ability("browser, ONNX files", False, "missing: ONNX Runtime Web", "make onnxruntime-web")
    return Ability("browser, ONNX files", True, folder.name, None)


def _added_format(name: str, how: str) -> Ability:
    """Return a format of another package, which is loaded to see that this works."""
    try:
        exporter(name)
    except UnderstudyError as error:
        reason, _, step = str(error).rpartition("; ")
        return Ability(name, False, reason.rpartition("received ")[2], step)
    return Ability(name, True, how, None)


def _compiled_format(name: str) -> Ability:
    try:
        command = c_compiler()
    except SetupError as error:
        return _missing(name, error)
    return Ability(name, True, f"{' '.join(command)}: {_first_line(command)}", None)


def _wasm_format(name: str) -> Ability:
    try:
        command, node = wasm_compiler(), node_version()
    except SetupError as error:
        return _missing(name, error)
    return Ability(name, True, f"{_first_line([command])}, Node {node}", None)


def _missing(format_name: str, error: SetupError) -> Ability:
    reason, _, step = str(error).rpartition("; ")
    return Ability(format_name, False, f"missing: {reason.rpartition('received ')[2]}", step)


def _first_line(command: list[str]) -> str:
    answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.partition("\n")[0].strip()
