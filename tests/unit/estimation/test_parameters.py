"""Of a run's parameters the ledger keeps plain values, few and short, and no secret."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.estimation.parameters import LONGEST_TEXT, MOST_PARAMETERS, plain_parameters

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(parameters=st.dictionaries(st.text(), values, max_size=60))
def test_what_is_kept_is_plain_and_small(parameters: dict[str, Any]) -> None:
    kept = plain_parameters(parameters)
    assert len(kept) <= MOST_PARAMETERS
    assert (
        kept.items()
        <= {name: one for name, one in parameters.items() if not isinstance(one, list | dict)}.items()
    )
    assert all(isinstance(value, bool | int | float | str) for value in kept.values())
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


@pytest.mark.parametrize(
    "name", ["password", "db_passwd", "API_KEY", "apiKey", "hfToken", "client_secret", "aws_credentials"]
)
def test_what_is_called_a_secret_is_left_out(name: str) -> None:
    assert plain_parameters({name: "hunter2", "epochs": 3}) == {"epochs": 3}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter2@host/name",
        "https://blob.example/data?sig=abc",
        "-----BEGIN RSA KEY-----",
        "x" * (LONGEST_TEXT + 1),
    ],
)
def test_what_looks_like_a_secret_or_a_document_is_left_out(text: str) -> None:
    assert plain_parameters({"source": text}) == {}


def test_numbers_that_no_database_could_hold_are_left_out() -> None:
    assert plain_parameters({"a": math.nan, "b": math.inf, "c": 10**400, "d": -2, "e": True}) == {
        "d": -2,
        "e": True,
    }
