"""One order in which settings win, and where each came from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.job import JobSpec, Urgency
from carbon_policy.domain.precedence import (
    DECORATOR,
    DEFAULT,
    DEPLOYMENT,
    LAYERS,
    POLICY_BLOCK,
    RUN,
    SETTINGS,
    resolve,
)


@pytest.mark.parametrize("winner", range(5))
def test_the_highest_layer_that_says_something_wins(winner: int) -> None:
    layers = {name: {"minimum_saving": (k + 1) / 10} for k, name in enumerate(LAYERS[:-1]) if k >= winner}
    resolved = resolve(layers)
    assert resolved.spec.minimum_saving == (winner + 1) / 10
    assert resolved.sources["minimum_saving"] == LAYERS[winner]


def test_what_nobody_says_is_the_default_and_called_so() -> None:
    resolved = resolve({})
    assert resolved.spec == JobSpec()
    assert set(resolved.sources.values()) == {DEFAULT}


def test_an_unset_value_hides_nothing() -> None:
    resolved = resolve({RUN: {"urgency": None}, DECORATOR: {"urgency": "flexible"}})
    assert resolved.spec.urgency is Urgency.FLEXIBLE
    assert resolved.sources["urgency"] == DECORATOR


@pytest.mark.parametrize(
    ("high", "low"),
    [
        ({"finish_by": "2026-11-22T20:00:00Z"}, {"finish_within": "12h"}),
        ({"finish_within": "12h"}, {"finish_by": "2026-11-22T20:00:00Z"}),
        ({"start_by": "2026-11-22T20:00:00Z"}, {"start_within": "12h"}),
    ],
)
def test_a_higher_layer_replaces_the_other_way_of_saying_it(
    high: dict[str, Any], low: dict[str, Any]
) -> None:
    resolved = resolve({RUN: high, DEPLOYMENT: low})
    (name,), (dropped,) = high, low
    assert resolved.sources[name] == RUN
    assert getattr(resolved.spec, dropped) is None


def test_one_layer_that_says_it_both_ways_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="give one of them"):
        resolve({RUN: {"finish_within": "12h", "finish_by": "2026-11-22T20:00:00Z"}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"urgncy": "flexible"}, "Did you mean 'urgency'"),
        ({"urgency": "urgent"}, "'critical', 'normal' or 'flexible'"),
        ({"expected_duration": "-3m"}, "not a duration"),
        ({"expected_duration": "0s"}, "a second to 31 days"),
        ({"expected_duration": "900d"}, "a second to 31 days"),
        ({"finish_by": "2026-11-22T20:00:00"}, "no time zone"),
        ({"finish_by": "tomorrow"}, "is not a time"),
        ({"finish_within": "5m", "expected_duration": "1h"}, "could never finish in time"),
        ({"start_within": "5h", "finish_within": "2h"}, "must start before it can finish"),
        ({"start_by": "2026-11-22T20:00:00Z", "finish_by": "2026-11-22T19:00:00Z"}, "is before start_by"),
        ({"earliest_start": "2026-11-22T20:00:00Z", "start_by": "2026-11-22T19:00:00Z"}, "leaves no room"),
        ({"minimum_saving": 3}, "less than or equal to 1"),
        ({"minimum_saving": -1}, "greater than or equal to 0"),
        ({"max_deferrals": -1}, "greater than or equal to 0"),
        ({"allowed_hours": "22 to 6"}, "write 22:00-06:00"),
        ({"allowed_hours": "22:00-06:00", "timezone": "Mars/Olympus"}, "IANA name"),
        ({"finish_within": "400d"}, "31 days"),
        ({"start_early": "400d"}, "31 days"),
        ({"start_early": -7200}, "start_early .*cannot be negative, and -7200 is; write"),
    ],
)
def test_bad_input_is_refused_with_what_to_change(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        resolve({RUN: values})


def test_the_error_names_the_layer_that_said_it() -> None:
    with pytest.raises(InvalidInputError, match="the decorator"):
        resolve({DECORATOR: {"urgency": "asap"}, POLICY_BLOCK: {}, SETTINGS: {}})


def test_lists_may_be_text_as_on_a_command_line() -> None:
    assert resolve({RUN: {"allowed_zones": "DE, FR"}}).spec.allowed_zones == ("DE", "FR")


def test_without_an_expected_duration_the_assumed_one_fits_the_window() -> None:
    assert resolve({}).spec.duration == timedelta(hours=1)
    assert resolve({RUN: {"finish_within": "10m"}}).spec.duration == timedelta(minutes=10)
