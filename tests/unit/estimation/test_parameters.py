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
    "name",
    [
        "password",
        "db_passwd",
        "db_pass",
        "passcode",
        "DB_PW",
        "dbPw",
        "pwd",
        "API_KEY",
        "apiKey",
        "hfToken",
        "client_secret",
        "aws_credentials",
        "jwt",
        "bearer",
        "pat",
        "pin",
        "dsn",
        "sentry_dsn",
        "conn",
        "conn_str",
        "connection_string",
        "webhook_url",
        "cookie",
        "session_id",
    ],
)
def test_what_is_called_a_secret_is_left_out(name: str) -> None:
    assert plain_parameters({name: "hunter2", "epochs": 3}) == {"epochs": 3}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter2@host/name",
        "redis://:hunter2@host:6379",
        "user:hunter2@tcp(host:3306)/name",
        "Server=host;Uid=sa;Pwd=hunter2",
        "host=db password = hunter2",
        "DefaultEndpointsProtocol=https;AccountKey=aHVudGVy",
        "https://blob.example/data?sig=abc",
        "https://blob.example/data?X-Amz-Signature=abc",
        "https://api.example/v1?api_key=abc",
        '{"token": "abc"}',
        "Authorization: Basic aHVudGVy",
        "Bearer eyJhbGciOi",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "ghp_16C7e42F292c6912E7",
        "github_pat_11AAAAAAA0",
        "glpat-abc123",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-abc123",
        "sk-proj-abcdefghijklmnopqrst",
        "xoxb-1234-abcd",
        "https://hooks.slack.com/services/T0/B0/abc",
        "https://discord.com/api/webhooks/1/abc",
        "-----BEGIN RSA KEY-----",
        "x" * (LONGEST_TEXT + 1),
    ],
)
def test_what_looks_like_a_secret_or_a_document_is_left_out(text: str) -> None:
    assert plain_parameters({"source": text}) == {}


@pytest.mark.parametrize("name", ["pin", "userPin", "password", "passcode", "db_pw", "otp", "pass"])
def test_a_number_that_is_a_secret_is_left_out(name: str) -> None:
    assert plain_parameters({name: 1234}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 512),
        ("tokens", 3.5),
        ("num_keys", 8),
        ("monkey", 2),
        ("passes", 3),
        ("n_sessions", 4),
        ("use_auth", True),
        ("with_password", False),
        ("spin", 0.5),
        ("attention_heads", 8),
        ("power", "low"),
        ("pattern", "*.csv"),
        ("opinion", "yes"),
        ("panel_path", "a/b"),
        ("hostname", "db1"),
    ],
)
def test_a_name_that_only_sounds_like_a_secret_is_kept(name: str, value: Any) -> None:
    assert plain_parameters({name: value}) == {name: value}


@pytest.mark.parametrize(
    "text",
    [
        "sk-learn",
        "sk-SK",
        "task-12",
        "eyjafjallajokull.nc",
        "Nokia",
        "bert-base-uncased",
        "lr=0.1 sigma=2",
        "https://host:8080/data?year=2026",
        "s3://bucket/keys/part-1",
        "image:3.12@sha256:abc",
        "10:30",
        "a@b.org",
    ],
)
def test_a_text_that_only_looks_like_a_secret_is_kept(text: str) -> None:
    assert plain_parameters({"source": text}) == {"source": text}


def test_numbers_that_no_database_could_hold_are_left_out() -> None:
    assert plain_parameters({"a": math.nan, "b": math.inf, "c": 10**400, "d": -2, "e": True}) == {
        "d": -2,
        "e": True,
    }
