"""Times and instruction counts."""

from __future__ import annotations

from tables.markdown import NONE, NOT_MEASURED, percent, spread_of, table
from tables.results import Results, Row, set_order
from understudy.units import format_bytes

BUSY_LOAD = 1.5
"""A load average above which times are marked: the measurement itself makes 1."""


def latency(results: Results) -> str:
    """Return each bundle's times beside fastText's."""
    parts = []
    for row in sorted(results.latency, key=lambda row: (*set_order(row), row["bundle"])):
        body = [
            [
                way,
                spread_of(us, 2),
                spread_of(row["ratio"][way], 2),
                f"{row['instructions'][way]:,.0f}" if row["instructions"].get(way) else NONE,
                format_bytes(row["size_bytes"][way]) if way in row["size_bytes"] else NONE,
            ]
            for way, us in row["us"].items()
        ]
        load = max(row["load_average"].values())
        busy = (
            " **The machine was busy: the times are indicative, the instructions are not affected.**"
            if load > BUSY_LOAD
            else ""
        )
        runtimes = "; ".join(f"{name}: {version}" for name, version in sorted(row["runtime"].items()))
        heading = (
            f"{row['set']}, {row['bundle']}: {row['texts']} texts of {row['mean_text_bytes']} bytes on average, "
            f"{row['rounds']} rounds, on {row['machine']}; load average {load:.1f}.{busy}"
        )
        parts += [
            heading,
            table(["what", "µs per text", "ratio to fasttext default", "instructions per text", "size"], body),
            f"Runtimes: {runtimes}.",
        ]
        if row.get("ratio_to_c"):  # rows from before the C runtime had more than one build have none
            parts.append(table(["time", "ratio"], [[way, spread_of(us, 2)] for way, us in row["ratio_to_c"].items()]))
            parts.append(f"C is compiled with `{' '.join(row['compile_flags'])}` and the flags behind its name.{_units(row)}")
    return "\n\n".join(parts) or NOT_MEASURED


def _units(row: Row) -> str:
    """Return what the builds of C computed with; rows from before they could choose do not say it."""
    return f" Vectors: {'; '.join(f'`{build}` {unit}' for build, unit in row['units'].items())}." if "units" in row else ""


def image_latency(results: Results) -> str:
    """Return the C runtime's times and instructions beside LiteRT's, for each shape of image."""
    parts = []
    for row in sorted(results.image_latency, key=lambda row: row["shape"]):
        reference = row["instructions"]["litert reference"]
        body = []
        for way, us in row["us"].items():
            count = row["instructions"].get(way)
            shares = [f"{count:,.0f}", f"{count / reference:.2f}"] if count else [NONE, NONE]
            body.append([way, spread_of(us, 1), spread_of(row["ratio"][way], 2), *shares])
        load = max(row["load_average"].values())
        busy = " **The machine was busy: times are indicative, ratios less so, instructions not.**" if load > BUSY_LOAD else ""
        shape, sizes = "x".join(map(str, row["shape"])), row["size_bytes"]
        heading = (
            f"{shape}, {row['multiplications']:,} multiplications, {format_bytes(sizes['c'])} in C and "
            f"{format_bytes(sizes['litert'])} as `.tflite`; {row['rounds']} rounds on {row['machine']}; "
            f"load average {load:.1f}.{busy}"
        )
        parts += [
            heading,
            table(["what", "µs per image", "ratio to litert", "instructions per image", "ratio to litert reference"], body),
        ]
        parts += [_units(row).strip()] if "units" in row else []
    return "\n\n".join(parts) or NOT_MEASURED


def image_peer(results: Results) -> str:
    """Return accuracy and times of a delivered file beside others' files for the same images."""
    parts = []
    for row in results.image_peer:
        body = [
            [name, percent([row["accuracy"][name]]), spread_of(us, 1), spread_of(row["ratio"][name], 2), size]
            for name, us in row["us"].items()
            for size in [format_bytes(row["size_bytes"][name])]
        ]
        load = max(row["load_average"].values())
        busy = " **The machine was busy: times are indicative, ratios less so.**" if load > BUSY_LOAD else ""
        heading = (
            f"{row['set']}, {row['test_images']:,} test images, {row['rounds']} rounds on {row['machine']}; "
            f"load average {load:.1f}.{busy}"
        )
        parts += [heading, table(["file", "accuracy, %", "µs per image", "ratio to ResNet-8, int8", "size"], body)]
    return "\n\n".join(parts) or NOT_MEASURED


def executorch_latency(results: Results) -> str:
    """Return the times of ExecuTorch's files with and without XNNPACK, for each network."""
    parts = []
    for row in results.executorch_latency:
        body = [
            [way, spread_of(us, 1), spread_of(row["ratio"][way], 3), format_bytes(row["size_bytes"][way])]
            for way, us in row["us"].items()
        ]
        load = max(row["load_average"].values())
        busy = " **The machine was busy: times are indicative, ratios less so.**" if load > BUSY_LOAD else ""
        heading = (
            f"{row['network']}, {row['multiplications']:,} multiplications; {row['rounds']} rounds on {row['machine']}; "
            f"load average {load:.1f}.{busy}"
        )
        parts += [heading, table(["format", "µs per image", "ratio to executorch", "size"], body)]
    return "\n\n".join(parts) or NOT_MEASURED


def import_time(results: Results) -> str:
    """Return how long a start takes."""
    body = [
        [name, f"{found['median_s']:.3f}", f"{found['least_s']:.3f} to {found['most_s']:.3f}"]
        for name, found in results.import_time.get("seconds", {}).items()
    ]
    return table(["command", "seconds, median", "spread"], body)
