"""The report keeps what was measured apart from what was estimated."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from families import clinc_like_family
from understudy.device_measurements import DeviceChoice, DifferingLabel, InstructionRow, Measurement
from understudy.devices.choice import choose
from understudy.devices.profile import load_profile
from understudy.family import Family, LatencyMicroseconds
from understudy.report.page import render_report

LATENCY = LatencyMicroseconds(median=9066.0, p10=3414.0, p90=9980.0)
COMMON = {"format": "c", "examples": 64, "exact": True, "max_probability_difference": 6e-8}


def measured(**more: object) -> Measurement:
    fields = {"target": "host", "runtime": "gcc 12", "measured": True, "latency_us": LATENCY}
    return Measurement.model_validate({**COMMON, **fields, **more})


def estimated(**more: object) -> Measurement:
    fields = {
        "target": "cortex-m4",
        "runtime": "gcc 12 on mps2-an386",
        "measured": False,
        "latency_us": LATENCY,
        "clock_hz": 64_000_000,
        "instructions": 580_241,
        "instruction_table": (
            InstructionRow(where="characters", instructions=500_000),
            InstructionRow(where="linear tokens", instructions=80_241),
        ),
        "flash_bytes": 17_640,
        "ram_bytes": 7_824,
    }
    return Measurement.model_validate({**COMMON, **fields, **more})


def family(*measurements: Measurement, devices: tuple[DeviceChoice, ...] = ()) -> Family:
    made = clinc_like_family()
    first = made.members[0].model_copy(update={"measurements": measurements})
    return made.model_copy(update={"members": (first, *made.members[1:]), "devices": devices})


def section(page: str) -> str:
    found = re.search(r'<section id="devices".*?</section>', page, re.DOTALL)
    assert found
    return found[0]


def test_the_two_kinds_have_tables_of_their_own() -> None:
    shown = section(render_report(family(measured(), estimated())))
    before, _, after = shown.partition("<h3>Estimated</h3>")
    assert "host" in before
    assert "cortex-m4" not in before
    assert "~" not in before
    assert "cortex-m4" in after
    assert "~ 9.07" in after
    assert "nothing was timed" in after
    assert "580,241" in after
    assert "linear tokens" in after
    assert '<a href="#devices">' in render_report(family())


def test_a_measured_time_is_of_what_the_data_hold() -> None:
    texts = family(measured())
    best = texts.members[0]
    pictures = best.model_copy(update={"recipe": {**best.recipe, "image_shape": [28, 28, 1]}})
    assert "time for one text" in section(render_report(texts))
    assert "time for one image" in section(render_report(texts.model_copy(update={"members": (pictures,)})))


def test_every_label_that_differs_is_shown_and_escaped() -> None:
    names = clinc_like_family().data.class_names
    differing = tuple(DifferingLabel(row=row, expected=names[row], received=names[row + 1]) for row in (0, 3, 11))
    wrong = estimated(exact=False, differing_labels=differing, max_probability_difference=0.25)
    shown = section(render_report(family(wrong)))
    assert "<script>alert" not in shown
    rows = re.findall(r"<tr><td>(\d+)</td>", shown)
    assert rows == ["0", "3", "11"]
    assert "2.5e-01" in shown


def test_the_right_member_for_each_device_is_shown() -> None:
    members = clinc_like_family().members
    choices = tuple(choose(load_profile(name), members, classes=150) for name in ("cortex-m4", "cortex-m3"))
    shown = section(render_report(family(devices=choices)))
    assert "Arduino Nano 33 BLE" in shown
    assert "c 88.6 KB of 256.0 KB, RAM 9.1 KB of 128.0 KB" in shown
    assert "no member keeps to its limits" in shown
    assert "understudy bench 16KB --on host --on cortex-m4" in shown
    small = members[0].model_copy(update={"files": members[0].files[:1]})
    assert [file.format for file in small.files] == ["onnx"]
    without_c = clinc_like_family().model_copy(update={"members": (small,)})
    assert "understudy bench 16KB --on host adds" in section(render_report(without_c)).replace("</code>", "")


@pytest.mark.parametrize(
    "more",
    [
        {"measured": True},
        {"clock_hz": None},
        {"latency_us": None},
        {"instructions": 580_240},
        {"differing_labels": (DifferingLabel(row=0, expected="a", received="b"),)},
    ],
)
def test_a_record_cannot_pass_an_estimate_off_as_measured(more: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        estimated(**more)


def test_a_measured_time_is_a_time() -> None:
    with pytest.raises(ValidationError, match="a measured time has a latency"):
        measured(latency_us=None)
