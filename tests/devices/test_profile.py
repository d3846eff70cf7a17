"""Device profiles: what ships is sound, and what users write is checked."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from understudy.devices.profile import DeviceProfile, device_names, load_profile, parse_profile
from understudy.errors import InputError

GOOD = resources.files("understudy.devices").joinpath("profiles", "cortex-m4.toml").read_text("utf-8")


def test_the_requested_devices_are_there() -> None:
    assert {"cortex-m0plus", "cortex-m4", "cortex-m7", "esp32-s3", "raspberry-pi"} <= set(device_names())
    assert {"android-mid", "android-high", "iphone", "watch", "browser"} <= set(device_names())


@pytest.mark.parametrize("name", device_names())
def test_every_profile_is_sound(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    limits = profile.limits()
    assert set(profile.formats.names) <= set(limits)
    assert ("ram" in limits) == ("c" in profile.formats.names)
    assert min(limits.values()) >= 4096


def test_the_boards_of_benchmarks_are_sound() -> None:
    [board] = (Path(__file__).resolve().parents[2] / "benchmarks" / "boards").glob("*.toml")
    assert load_profile(str(board)).operators == load_profile("cortex-m0").operators


@pytest.mark.parametrize("name", [n for n in device_names() if load_profile(n).kind == "microcontroller"])
def test_a_model_leaves_room_for_the_application(name: str) -> None:
    profile = load_profile(name)
    assert profile.flash.bytes is not None
    assert profile.ram.bytes is not None
    assert profile.flash.model_bytes <= profile.flash.bytes / 4
    assert profile.ram.model_bytes <= profile.ram.bytes / 2


BAD = {
    "no TOML": ("name = ", "a device profile is TOML in UTF-8"),
    "another version": (GOOD.replace("version = 1", "version = 2", 1), "version: Input should be 1"),
    "unknown key": (GOOD + "\ncolour = 1\n", "emulator.colour: Extra inputs are not permitted"),
    "no source": (GOOD.replace('source = "nRF52840 product specification: 64 MHz"\n', ""), "clock.source: Field required"),
    "more for the model than there is": (GOOD.replace("model_bytes = 262_144", "model_bytes = 2_000_000"), "is at most bytes="),
    "unknown format": (GOOD.replace('names = ["c"]', 'names = ["cpp"]'), "cpp"),
    "unknown operator": (GOOD.replace('"softmax"', '"attention"'), "operators.names"),
    "a flag that is none of the core's": (GOOD.replace('"-mcpu=cortex-m4"', '"-fplugin=evil.so"'), "emulator.flags"),
    "an emulator without its runner": (GOOD.replace('runner = "microcontroller"', 'runner = "aarch64"'), "go together"),
    "no runner and no reason": (GOOD.replace('runner = "microcontroller"', 'runner = "none"'), "go together"),
    "no bits of weights": (GOOD.replace("weight_bits = [4, 8]", "weight_bits = []"), "operators.weight_bits"),
    "run as a microcontroller without a clock": (
        GOOD.replace('kind = "microcontroller"', 'kind = "watch"').partition("[clock]")[0]
        + "[formats]"
        + GOOD.partition("[formats]")[2],
        "a clock",
    ),
    "a microcontroller without a clock": (
        GOOD.partition("[clock]")[0] + "[formats]" + GOOD.partition("[formats]")[2],
        "a clock",
    ),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_profile_that_breaks_a_rule_is_refused(case: str) -> None:
    content, expected = BAD[case]
    assert content != GOOD
    with pytest.raises(InputError) as caught:
        parse_profile(content.encode(), where="board.toml")
    assert expected in str(caught.value)
    assert "'board.toml'" in str(caught.value)


def test_a_profile_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GOOD.replace('name = "cortex-m4"', 'name = "my-board"'))
    profile = load_profile(str(path))
    assert isinstance(profile, DeviceProfile)
    assert profile.name == "my-board"


def test_an_unknown_device_is_told_the_near_one() -> None:
    with pytest.raises(InputError, match="did you mean 'cortex-m4'"):
        load_profile("cortex-4")
    with pytest.raises(InputError, match=r"nowhere.toml.*No such file"):
        load_profile("nowhere.toml")
