"""Comparing what is on the server with what the files say."""

from __future__ import annotations

from typing import Any

import pytest

from carbon_policy.provision.interpolation import MASK, Secrets
from carbon_policy.provision.plan import Action, FieldChange, Kind, compared, differences


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, [("a.c", 2, 3)]),
        ({"a": {"b": 1}}, {"a": {}}, [("a.b", 1, None)]),
        ({"a": {"b": None}}, {"a": {}}, [("a.b", None, None)]),
        ({"a": {"b": 1}}, {"a": [1]}, [("a", {"b": 1}, [1])]),
        ({}, {"a": 1}, [("a", None, 1)]),
    ],
)
def test_differences_have_their_path(old: dict[str, Any], new: dict[str, Any], changed: list[Any]) -> None:
    assert differences(old, new) == [FieldChange(*change) for change in changed]


def test_what_the_files_do_not_say_is_no_change() -> None:
    change = compared(
        Kind.WORK_POOL, "a", {"description": "x", "is_paused": True}, {"description": "x"}, Secrets({})
    )
    assert (change.action, change.fields) == (Action.UNCHANGED, ())


def test_an_object_that_does_not_exist_is_created() -> None:
    assert compared(Kind.BLOCK, "a/b", None, {"x": 1}, Secrets({})).action is Action.CREATE


def test_secrets_are_masked_on_both_sides() -> None:
    secrets = Secrets({"TOKEN": "hunter2!"})
    secrets.resolve("${TOKEN}", "f.yaml: a")
    change = compared(
        Kind.BLOCK,
        "a/b",
        {"key": "old one", "url": "http://u:old-password@h", "env": {"A": "old token"}, "n": 1},
        {"key": "new one", "url": "http://u:hunter2!@h", "env": {}, "n": 2},
        secrets,
        secret_fields=frozenset({"key"}),
    )
    assert [(field.name, field.old, field.new) for field in change.fields] == [
        ("key", MASK, MASK),
        ("url", MASK, "http://u:${TOKEN}@h"),
        ("env.A", MASK, MASK),
        ("n", 1, 2),
    ]
