"""References to the environment in files, and what may be shown of them."""

from __future__ import annotations

import pytest

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.provision.interpolation import Secrets

ENVIRONMENT = {"TOKEN": "hunter2!", "PREFIX": "hunter", "ZONE": "DE", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${TOKEN}", "hunter2!"),
        ("Bearer ${TOKEN} in ${ZONE}", "Bearer hunter2! in DE"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${NOWHERE:-}", ""),
        ("${NOWHERE:-http://a:1/b}", "http://a:1/b"),
        ("$${TOKEN} costs $5", "${TOKEN} costs $5"),
    ],
)
def test_references_are_replaced(text: str, value: str) -> None:
    assert Secrets(ENVIRONMENT).resolve(text, "f.yaml: a") == value


def test_they_are_found_at_any_depth_and_other_values_are_left() -> None:
    data = {"a": [{"b": "${ZONE}"}, 1, None, True], "c": 2.5}
    assert Secrets(ENVIRONMENT).resolve(data, "f.yaml: x") == {"a": [{"b": "DE"}, 1, None, True], "c": 2.5}


def test_a_missing_variable_names_file_key_and_variable() -> None:
    with pytest.raises(
        InvalidInputError, match=r"blocks/a\.yaml: blocks\[0\]\.data\.key: .*NOWHERE is not set"
    ):
        Secrets({}).resolve([{"data": {"key": "${NOWHERE}"}}], "blocks/a.yaml: blocks")


@pytest.mark.parametrize("text", ["${TOKEN", "${}", "${1A}", "${TOKEN:?no}"])
def test_a_broken_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"f\.yaml: a: a reference is written"):
        Secrets(ENVIRONMENT).resolve(text, "f.yaml: a")


def test_what_came_from_the_environment_is_shown_as_its_reference() -> None:
    secrets = Secrets(ENVIRONMENT)
    secrets.resolve(["${TOKEN}", "${PREFIX}", "${ZONE}", "${NOWHERE:-written here}"], "f.yaml: a")
    shown = secrets.mask({"a": "x hunter2! y", "b": ["hunter"], "c": "DE", "d": 5, "e": "written here"})
    assert shown == {"a": "x ${TOKEN} y", "b": ["${PREFIX}"], "c": "DE", "d": 5, "e": "written here"}
    assert "hunter" not in repr(secrets)


def test_a_secret_number_is_masked_too() -> None:
    secrets = Secrets({"PIN": "123456"})
    secrets.resolve("${PIN}", "f.yaml: a")
    assert secrets.mask(123456) == "${PIN}"
