"""``understudy devices``: the profiles for people and for programs."""

from __future__ import annotations

import json

from command import understudy


def test_all_are_listed() -> None:
    outcome = understudy("devices")
    assert outcome.exit_code == 0, outcome.err
    assert outcome.out.splitlines()[0].split()[0] == "device"
    assert "cortex-m4" in outcome.out
    assert len(json.loads(understudy("devices", "--json").out)["devices"]) >= 12


def test_one_is_shown_with_the_source_of_each_figure() -> None:
    outcome = understudy("devices", "cortex-m4")
    assert outcome.exit_code == 0, outcome.err
    for line in outcome.out.splitlines()[2:]:
        assert len(line.split("  ")[-1]) > 8, line
    assert "nRF52840 product specification" in outcome.out
    document = json.loads(understudy("devices", "cortex-m4", "--json").out)
    assert document["flash"]["bytes"] == 1024 * 1024


def test_an_unknown_one_is_told_the_near_one() -> None:
    outcome = understudy("devices", "cortex-m5")
    assert outcome.exit_code == 2
    assert "did you mean" in outcome.err
