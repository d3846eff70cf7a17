"""What a device can hold: limits at design time, and the right member of a family."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from bundles import make_bundle
from emulators import need_microcontrollers
from families import clinc_like_family
from programs import sequence_program
from understudy.data.dataset import load_dataset
from understudy.devices.bench import bench, bundle_examples
from understudy.devices.choice import choose, need_operators, working_bytes
from understudy.devices.profile import MODEL_STACK_BYTES, DeviceProfile, load_profile, parse_profile
from understudy.errors import BudgetError, InputError
from understudy.export.c import CExporter
from understudy.export.c_float import CFloatExporter
from understudy.feasibility import check_budgets
from understudy.job import job_from_arguments


def profile(old: str, new: str) -> DeviceProfile:
    text = resources.files("understudy.devices").joinpath("profiles", "cortex-m4.toml").read_text("utf-8")
    assert old in text
    return parse_profile(text.replace(old, new).encode(), where="board.toml")


def board_text(*names: str) -> str:
    """Return a profile that takes files of the formats ``names``."""
    text = resources.files("understudy.devices").joinpath("profiles", "cortex-m4.toml").read_text("utf-8")
    return text.replace('names = ["c"]', f"names = {list(names)}").replace('name = "cortex-m4"', 'name = "board"')


def in_formats(*names: str) -> DeviceProfile:
    return parse_profile(board_text(*names).encode(), where="board.toml")


def test_the_best_that_fits_is_right() -> None:
    members = clinc_like_family().members
    on_board = choose(load_profile("cortex-m4"), members, classes=150)
    assert on_board.member == "128KB"
    assert on_board.format == "c"
    assert on_board.sizes == {"c": members[2].largest_bytes(["c"]), "ram": (members[2].ram_bytes or 0) + 128 + 600 + 512}
    assert choose(load_profile("cortex-m0"), members, classes=150).member == "32KB"
    assert choose(load_profile("watch"), members, classes=150).member == "128KB"


def test_an_iphone_gets_the_format_of_its_system_first(tiny_csv: Path) -> None:
    job = job_from_arguments(tiny_csv, devices=("iphone",))
    [budget] = check_budgets(job, load_dataset(job)).reachable
    assert budget.formats == ("coreml", "litert", "onnx")


@pytest.mark.parametrize(
    ("formats", "asked", "bits"),
    [(("c_float", "onnx_float"), "auto", 8), (("c_float",), 4, 4), (("c_float", "c"), "auto", None), (("c",), "auto", None)],
)
def test_files_in_float_alone_have_weights_of_8_bits(
    tiny_csv: Path, formats: tuple[str, ...], asked: object, bits: int | None
) -> None:
    job = job_from_arguments(tiny_csv, budgets=("64KB",), formats=formats, weight_bits=asked)
    [budget] = check_budgets(job, load_dataset(job)).reachable
    assert budget.bits == bits


def test_ram_decides_too() -> None:
    members = clinc_like_family().members
    assert members[1].ram_bytes is not None
    room = members[1].ram_bytes + 128 + 600 + MODEL_STACK_BYTES
    assert choose(profile("model_bytes = 131_072", f"model_bytes = {room}"), members, classes=150).member == "32KB"
    assert choose(profile("model_bytes = 131_072", f"model_bytes = {room - 1}"), members, classes=150).member == "16KB"


@pytest.mark.parametrize(
    ("old", "new"),
    [("model_bytes = 131_072", "model_bytes = 1000"), ("weight_bits = [4, 8]", "weight_bits = [8]")],
)
def test_a_device_for_which_nothing_is_right_says_why(old: str, new: str) -> None:
    found = choose(profile(old, new), clinc_like_family().members, classes=150)
    assert found.member is None
    assert found.format is None
    assert found.reason


def test_an_operator_that_is_missing_is_named() -> None:
    program = sequence_program()
    need_operators(load_profile("cortex-m4"), program)
    with pytest.raises(InputError, match="without operator='max_pool'"):
        need_operators(profile('"max_pool", ', ""), program)


@pytest.mark.parametrize(
    ("names", "limits"),
    [
        (("c",), {"ram"}),
        (("arduino", "onnx"), {"ram"}),
        (("c_float",), {"float_ram"}),
        (("arduino_float",), {"float_ram"}),
        (("c", "c_float"), {"ram", "float_ram"}),
        (("wasm_float", "litert"), set()),
    ],
)
def test_all_that_is_c_has_a_limit_of_ram(names: tuple[str, ...], limits: set[str], tiny_csv: Path, tmp_path: Path) -> None:
    board = in_formats(*names)
    assert set(board.limits()) - set(names) == limits
    assert {board.limits()[name] for name in limits} <= {board.ram.model_bytes}
    (tmp_path / "board.toml").write_text(board_text(*names), encoding="utf-8")
    job = job_from_arguments(tiny_csv, devices=(str(tmp_path / "board.toml"), "cortex-m0"))
    found = check_budgets(job, load_dataset(job))
    sizes = found.sizes_of(sequence_program())
    for name, writer in (("ram", CExporter()), ("float_ram", CFloatExporter())):
        if name in limits:
            assert sizes[name] == writer.ram_bytes(sequence_program()) + 64 + 4 * 7 + MODEL_STACK_BYTES
    assert ("float_ram" in sizes) == ("float_ram" in limits)


def test_ram_in_float_decides_too(tiny_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text(board_text("c_float").replace("131_072", "2_000"), encoding="utf-8")
    job = job_from_arguments(tiny_csv, devices=(str(tmp_path / "board.toml"),))
    with pytest.raises(BudgetError, match=r"has 2000 bytes where the smallest RAM in float takes \d+; choose"):
        check_budgets(job, load_dataset(job))
    member = clinc_like_family().members[1]
    files = (member.files[0].model_copy(update={"format": "c_float", "size_bytes": 900}),)
    member = member.model_copy(update={"files": files, "float_ram_bytes": 131_072 - 128 - 600 - MODEL_STACK_BYTES})
    found = choose(in_formats("c_float"), [member], classes=150)
    assert (found.member, found.sizes) == (member.path, {"c_float": 900, "float_ram": 131_072})
    for bytes_ in (member.float_ram_bytes + 1, None):
        larger = member.model_copy(update={"float_ram_bytes": bytes_})
        assert choose(in_formats("c_float"), [larger], classes=150).member is None


def test_what_an_emulated_firmware_takes_was_foreseen(tmp_path: Path) -> None:
    need_microcontrollers()
    program = sequence_program()
    bundle = make_bundle(tmp_path / "b", program=program, formats=("c",))
    (found,) = bench(bundle, ["cortex-m0"], examples=bundle_examples(bundle))
    assert found.ram_bytes is not None
    static_bytes = CExporter().ram_bytes(program)
    foreseen = working_bytes(static_bytes, input_bytes=program.projection.max_bytes, classes=program.classes)
    assert static_bytes < found.ram_bytes <= foreseen


def test_the_stack_is_what_the_header_promises() -> None:
    header = CExporter().export(sequence_program(), name="demo")["model.h"].decode()
    assert f"Stack: at most {MODEL_STACK_BYTES} bytes" in header
