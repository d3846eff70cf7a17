from __future__ import annotations

from families import clinc_like_family
from understudy.report.trials import trials_of

MEMBER = clinc_like_family().members[0]


def test_what_every_trial_shares_is_told_apart() -> None:
    trials = trials_of(MEMBER)
    assert trials is not None
    assert trials.shared == {"student": "projection_sequence", "max_bytes": 128, "bits": 4}
    assert [set(chosen) for _, chosen in trials.rows] == [{"features", "width"}] * 8
    assert [trial for trial, _ in trials.rows] == list(MEMBER.trials)
    assert trials.seconds == sum(trial.seconds or 0 for trial in MEMBER.trials)


def test_a_key_that_only_some_trials_have_is_not_shared() -> None:
    extra = MEMBER.trials[0].model_copy(update={"recipe": {**MEMBER.trials[0].recipe, "dropout": 0.1}})
    trials = trials_of(MEMBER.model_copy(update={"trials": (extra, *MEMBER.trials[1:])}))
    assert trials is not None
    assert "dropout" not in trials.shared
    assert trials.rows[0][1]["dropout"] == 0.1


def test_one_trial_shows_all_its_choices() -> None:
    trials = trials_of(MEMBER.model_copy(update={"trials": MEMBER.trials[:1]}))
    assert trials is not None
    assert trials.shared == {}
    assert trials.rows[0][1] == MEMBER.trials[0].recipe


def test_no_search_and_no_times() -> None:
    assert trials_of(MEMBER.model_copy(update={"trials": ()})) is None
    untimed = tuple(trial.model_copy(update={"seconds": None}) for trial in MEMBER.trials)
    trials = trials_of(MEMBER.model_copy(update={"trials": untimed}))
    assert trials is not None
    assert trials.seconds is None
