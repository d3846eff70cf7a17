from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from families import clinc_like_family
from understudy.family import Baseline, ByteRow, Family
from understudy.report import curves, svg
from understudy.report.balance import draw_balance
from understudy.report.byte_bars import byte_bars
from understudy.report.frontier import BYTES, LATENCY, MACS, Axis, axes_of, draw_frontier, tick_text
from understudy.units import format_bytes

FAMILY = clinc_like_family()
WIDE = {"width": 860, "height": 430, "label_characters": 24}
NARROW = {"width": 360, "height": 360, "label_characters": 14}


@dataclass(frozen=True)
class Box:
    content: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


def boxes(image: str) -> list[Box]:
    found = []
    for node in ET.fromstring(image).iter("text"):
        content = node.text or ""
        width = svg.text_width(content) * 0.95
        x, y = float(node.attrib["x"]), float(node.attrib["y"])
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[node.attrib["text-anchor"]] * width
        found.append(Box(content, left, y - 9, left + width, y + 2))
    return found


def overlaps(image: str) -> list[tuple[str, str]]:
    return [(a.content, b.content) for a, b in itertools.combinations(boxes(image), 2) if a.overlaps(b)]


def with_accuracies(*accuracies: float) -> Family:
    baselines = tuple(Baseline(name=f"baseline number {i}", accuracy=a, size_bytes=40_000) for i, a in enumerate(accuracies))
    return FAMILY.model_copy(update={"baselines": baselines})


def with_budgets(*budgets: int) -> Family:
    member = FAMILY.members[0]
    members = [member.model_copy(update={"budget_bytes": size, "budget": format_bytes(size)}) for size in budgets]
    return FAMILY.model_copy(update={"members": tuple(members)})


CASES = {
    "three budgets": FAMILY,
    "one budget": FAMILY.model_copy(update={"members": FAMILY.members[:1]}),
    "levels on top of each other": with_accuracies(0.9511, 0.951, 0.9512, 0.93),
    "accuracies within a point": FAMILY.model_copy(
        update={
            "teacher": None,
            "baselines": (Baseline(name="baseline", accuracy=0.967, size_bytes=2_500),),
            "members": tuple(
                member.model_copy(
                    update={"twin": None, "files": tuple(file.model_copy(update={"accuracy": 0.98}) for file in member.files)}
                )
                for member in FAMILY.members
            ),
        }
    ),
    "budgets beside each other": with_budgets(16_000, 16_384, 17_000, 18_000),
    "many budgets": with_budgets(*(9000 + 700 * index for index in range(14))),
    "budgets far apart": with_budgets(2048, 50 * 1024**2),
    "no teacher, no baseline": FAMILY.model_copy(update={"teacher": None, "baselines": ()}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["wide", "narrow"])
def test_labels_of_the_frontier_do_not_overlap_and_stay_inside(name: str, shape: dict[str, int]) -> None:
    chart = draw_frontier(CASES[name], **shape)
    assert chart is not None
    assert overlaps(chart.image) == []
    for box in boxes(chart.image):
        assert box.top >= -1, box
        assert box.left >= -1, box
        assert box.right <= shape["width"] + 6, box
        assert box.bottom <= shape["height"], box


def test_the_frontier_shows_every_file_every_twin_and_every_level() -> None:
    chart = draw_frontier(FAMILY, **WIDE)
    assert chart is not None
    titles = [node.text for node in ET.fromstring(chart.image).iter("title")]
    assert "16KB onnx: 87.1\xa0% in 15.1 KB" in titles
    assert "16KB without teacher: 87.5\xa0%" in titles
    assert sum(" in " in (title or "") for title in titles) == 9 + 1
    assert sum("without teacher" in (title or "") for title in titles) == 3
    shown = [box.content for box in boxes(chart.image)]
    assert "95.1\xa0%" in shown
    assert "teacher, 58.17 MB" in shown
    assert chart.off_scale == ("majority class (0.7\xa0%)",)


@pytest.mark.parametrize("accuracy", [0.0, 0.906, 0.9995, 1.0])
def test_files_that_are_all_alike_have_ticks_that_can_be_told_apart(accuracy: float) -> None:
    member = FAMILY.members[0]
    files = tuple(file.model_copy(update={"accuracy": accuracy}) for file in member.files)
    alike = member.model_copy(update={"files": files, "twin": None})
    chart = draw_frontier(FAMILY.model_copy(update={"members": (alike,), "teacher": None, "baselines": ()}), **WIDE)
    assert chart is not None
    ticks = [box.content for box in boxes(chart.image) if re.fullmatch(r"[\d.]+ %", box.content)]
    assert 2 <= len(ticks) == len(set(ticks))


def test_a_point_stands_where_its_numbers_say() -> None:
    chart = draw_frontier(FAMILY, **WIDE)
    assert chart is not None
    circles = [
        (float(node.attrib["cx"]), float(node.attrib["cy"]))
        for node in ET.fromstring(chart.image).iter("circle")
        if node.attrib["class"] == "s0 point"
    ]
    assert len(circles) == 3
    assert circles == sorted(circles, key=lambda place: place[0])
    assert [y for _, y in circles] == sorted((y for _, y in circles), reverse=True)
    (x16, _), (x32, _), _ = circles
    ticks = {box.content: (box.left + box.right) / 2 for box in boxes(chart.image)}
    # 15.13 KB and 30.26 KB are one octave apart, as the ticks of 16 KB and 32 KB are.
    assert x32 - x16 == pytest.approx(ticks["32 KB"] - ticks["16 KB"], rel=0.02)
    assert x16 < ticks["16 KB"] < x32 < ticks["32 KB"]


def test_a_family_without_a_measured_file_has_no_frontier() -> None:
    assert draw_frontier(FAMILY.model_copy(update={"members": ()}), **WIDE) is None


@pytest.mark.parametrize("member", FAMILY.members, ids=lambda member: member.budget)
def test_labels_of_the_curves_do_not_overlap_and_begin_inside(member: object) -> None:
    for image in (curves.accuracy_curves(member), curves.loss_curves(member)):  # type: ignore[arg-type]
        assert image is not None
        assert overlaps(image) == []
        assert min(box.left for box in boxes(image)) >= -1


def test_curves_name_student_twin_terms_and_phase() -> None:
    member = FAMILY.members[0]
    accuracy, loss = curves.accuracy_curves(member), curves.loss_curves(member)
    assert {"student", "twin", "quantize"} <= {box.content for box in boxes(accuracy or "")}
    assert {"student on labels", "student on teacher", "quantize"} <= {box.content for box in boxes(loss or "")}
    assert curves.phase_starts(member) == [(2300, "quantize")]


def test_a_curve_without_points_is_left_out() -> None:
    member = FAMILY.members[0].model_copy(update={"learning_curve": (), "twin": None})
    assert curves.accuracy_curves(member) is None
    assert curves.loss_curves(member) is None


def test_flat_curves_are_drawn() -> None:
    flat = tuple(
        p.model_copy(update={"validation_accuracy": 1.0, "train_loss": {"a": 0.0}}) for p in FAMILY.members[0].learning_curve
    )
    member = FAMILY.members[0].model_copy(update={"learning_curve": flat, "twin": None})
    for image in (curves.accuracy_curves(member), curves.loss_curves(member)):
        assert not re.search("nan|inf", image or "nan")


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=200))
def test_the_balance_chart_draws_any_counts(class_counts: list[int]) -> None:
    image = draw_balance(class_counts)
    assert not re.search("nan|inf", image)
    assert f"largest {max(class_counts):,}" in image


def test_byte_bars_line_up_and_add_up() -> None:
    for member in FAMILY.members:
        bars = byte_bars(FAMILY)[member.path]
        assert bars.formats == ("onnx", "litert", "c")
        assert bars.totals == tuple(file.size_bytes for file in member.files)
        columns = zip(*(place.bytes for place in bars.places), strict=True)
        assert tuple(sum(amount or 0 for amount in column) for column in columns) == bars.totals
        places = {place.where: place.bytes for place in bars.places}
        assert places["projection constants"] == (1650, 1650, 0)
        assert places["projection tables"] == (None, None, 72)


def test_a_place_looks_the_same_in_every_member() -> None:
    styles = [{place.where: place.class_ for place in bars.places} for bars in byte_bars(FAMILY).values()]
    assert styles[0] == styles[1] == styles[2]
    assert set(styles[0].values()) == {f"s{index}" for index in range(8)} | {"rest"}


def test_rows_of_the_same_place_are_added_up() -> None:
    size = FAMILY.members[0].files[0].size_bytes
    rows = (ByteRow(where="a", bytes=size - 5), ByteRow(where="a", bytes=5))
    member = FAMILY.members[0].model_copy(update={"byte_table": {"onnx": rows}})
    bars = byte_bars(FAMILY.model_copy(update={"members": (member,)}))["16KB"]
    assert [(place.where, place.bytes) for place in bars.places] == [("a", (size,))]


def test_a_member_without_byte_tables_has_no_bars() -> None:
    members = (FAMILY.members[0].model_copy(update={"byte_table": {}}), *FAMILY.members[1:])
    assert set(byte_bars(FAMILY.model_copy(update={"members": members}))) == {"32KB", "128KB"}


@given(
    st.lists(st.tuples(st.floats(0, 400), st.floats(1, 60)), min_size=1, max_size=6),
)
def test_spread_keeps_order_and_distance(items: list[tuple[float, float]]) -> None:
    wanted, sizes = zip(*items, strict=True)
    centres = svg.spread(wanted, sizes=sizes, low=0, high=400)
    edges = sorted((c - s / 2, c + s / 2) for c, s in zip(centres, sizes, strict=True))
    assert all(before[1] <= after[0] + 1e-6 for before, after in itertools.pairwise(edges))
    assert edges[-1][1] <= 400 + 1e-6
    assert edges[0][0] >= -1e-6 or sum(sizes) > 400
    assert all(centres[a] <= centres[b] for a, b in itertools.permutations(range(len(wanted)), 2) if wanted[a] < wanted[b])


@given(st.floats(0, 1), st.floats(1e-3, 1), st.integers(3, 9))
def test_ticks_are_inside_round_and_few(low: float, extent: float, most: int) -> None:
    ticks = svg.round_ticks(low, low + extent, most=most)
    assert 1 <= len(ticks) <= most + 1
    assert all(low - 1e-6 <= tick <= low + extent + 1e-6 for tick in ticks)


def test_elements_are_escaped() -> None:
    assert str(svg.text('<b> & "', 1.0, 2.25)) == '<text x="1" y="2.2" text-anchor="start">&lt;b&gt; &amp; &#34;</text>'


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("axis", [MACS, LATENCY], ids=lambda axis: axis.name)
def test_labels_on_other_axes_do_not_overlap_and_stay_inside(name: str, shape: dict[str, int], axis: Axis) -> None:
    chart = draw_frontier(CASES[name], **shape, axis=axis)
    assert chart is not None
    assert overlaps(chart.image) == []
    for box in boxes(chart.image):
        assert box.top >= -1 and box.left >= -1, box
        assert box.right <= shape["width"] + 6 and box.bottom <= shape["height"], box


def test_other_axes_show_every_file_at_its_cost() -> None:
    for axis, costs in (
        (MACS, {member.budget: [float(member.macs or 0)] * 3 for member in FAMILY.members}),
        (LATENCY, {m.budget: [f.latency_us.median for f in m.files if f.latency_us] for m in FAMILY.members}),
    ):
        chart = draw_frontier(FAMILY, **WIDE, axis=axis)
        assert chart is not None
        titles = [node.text or "" for node in ET.fromstring(chart.image).iter("title")]
        for budget, expected in costs.items():
            shown = [title for title in titles if title.startswith(f"{budget} ") and " in " in title]
            assert len(shown) == 3
            assert {title.rpartition(" in ")[2] for title in shown} == {axis.shown(cost) for cost in expected}
        assert "16KB" not in [box.content for box in boxes(chart.image)]  # budgets are bytes
    assert "without teacher" not in " ".join(titles)  # a twin was not timed


def test_an_axis_needs_a_figure_of_every_file() -> None:
    assert axes_of(FAMILY) == [BYTES, MACS, LATENCY]
    first, *others = FAMILY.members
    uncounted = FAMILY.model_copy(update={"members": (first.model_copy(update={"macs": None}), *others)})
    assert axes_of(uncounted) == [BYTES, LATENCY]
    assert axes_of(FAMILY.model_copy(update={"members": ()})) == []


@given(st.floats(1e-2, 1e9), st.floats(1.01, 1e6))
def test_decade_ticks_are_inside_and_apart(low: float, ratio: float) -> None:
    scale = svg.Scale(low, low * ratio, 40, 640, logarithmic=True)
    ticks = svg.decade_ticks(scale, gap_pixels=58)
    assert ticks
    assert all(low * (1 - 1e-9) <= tick <= low * ratio * (1 + 1e-9) for tick in ticks)
    assert all(scale(after) - scale(before) >= 58 - 1e-6 for before, after in itertools.pairwise(ticks))


@given(st.floats(100, 1e8), st.floats(1.05, 1e6))
def test_the_byte_axis_has_ticks_that_can_be_told_apart(low: float, ratio: float) -> None:
    scale = svg.Scale(low, low * ratio, 40, 640, logarithmic=True)
    ticks = svg.byte_ticks(scale, gap_pixels=58)
    assert len(ticks) >= 2
    assert all(low * (1 - 1e-9) <= tick <= low * ratio * (1 + 1e-9) for tick in ticks)
    assert all(scale(after) - scale(before) >= 58 - 1e-6 for before, after in itertools.pairwise(ticks))
    shown = [tick_text(BYTES, tick) for tick in ticks]
    assert len(set(shown)) == len(shown)
