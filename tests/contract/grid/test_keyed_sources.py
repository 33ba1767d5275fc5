"""The team's own sources as the server keeps them: a broken block neither hides the others nor shows its secrets."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from pydantic import ValidationError

from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.carbon_aware_sdk import CarbonAwareSdkGrid
from carbon_policy.grid.electricity_maps import ElectricityMapsGrid
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.source import GridSource
from carbon_policy.grid.watttime import WattTimeGrid
from carbon_policy.orchestration.directory import keyed_sources, source_kinds

SECRET = "hunter2"


class Server:
    """Answers with the blocks that it was given, as the client would."""

    def __init__(self, **data_by_name: tuple[type[GridSource], dict[str, Any]]) -> None:
        self.data_by_name = data_by_name

    def read_block_documents_by_type(self, slug: str, include_secrets: bool) -> list[Any]:
        assert include_secrets
        found = [
            SimpleNamespace(id=name, name=name, data=data)
            for name, (kind, data) in self.data_by_name.items()
            if kind.get_block_type_slug() == slug
        ]
        if not found:
            request = httpx.Request("GET", f"http://server/block_types/slug/{slug}/block_documents")
            raise httpx.HTTPStatusError(
                "404 Not Found", request=request, response=httpx.Response(404, request=request)
            )
        return found


def keyed(**data_by_name: tuple[type[GridSource], dict[str, Any]]) -> list[GridSource]:
    return keyed_sources(cast(SyncPrefectClient, Server(**data_by_name)))


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    # Prefect's own configuration keeps its loggers from the root, where the records are caught.
    monkeypatch.setattr(logging.getLogger("prefect"), "propagate", True)
    caplog.set_level(logging.WARNING, "prefect.carbon_policy")
    return caplog


@pytest.mark.parametrize(
    ("kind", "data", "says"),
    [
        (ElectricityMapsGrid, {"api_key": SECRET, "api_version": "v9"}, "api_version (literal_error)"),
        (ElectricityMapsGrid, {"key": SECRET}, "api_key (missing)"),
        (WattTimeGrid, {"password": SECRET, "horizon_hours": 99}, "username (missing), horizon_hours"),
        (
            CarbonAwareSdkGrid,
            {"base_url": f"own.example.com?key={SECRET}", "locations": {}},
            "base_url (value_error), locations (too_short)",
        ),
    ],
)
def test_a_broken_block_is_left_out_with_a_warning_and_the_others_stay(
    warned: pytest.LogCaptureFixture, kind: type[GridSource], data: dict[str, Any], says: str
) -> None:
    good = {"api_key": "good"}
    found = keyed(first=(ElectricityMapsGrid, good), broken=(kind, data), last=(ElectricityMapsGrid, good))
    assert found == [ElectricityMapsGrid(**good)] * 2
    [warning] = [record.getMessage() for record in warned.records]
    assert warning.startswith(f"Block {kind.get_block_type_slug()}/broken was left out, as it is not valid: ")
    assert says in warning
    assert SECRET not in warned.text


def test_a_block_that_fails_in_a_way_of_its_own_is_left_out_too(
    warned: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(data: Any) -> GridSource:
        raise TypeError(f"cannot read {data}")

    monkeypatch.setattr(WattTimeGrid, "model_validate", fails)
    assert keyed(broken=(WattTimeGrid, {"password": SECRET})) == []
    assert "carbon-watttime-grid/broken was left out, as it is not valid: TypeError." in warned.text
    assert SECRET not in warned.text


@pytest.mark.parametrize("kind", source_kinds().values(), ids=lambda kind: kind.__name__)
def test_no_error_of_a_source_shows_what_was_given(kind: type[GridSource]) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate([{"api_key": SECRET}])
    assert SECRET not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        f"someone:{SECRET}@own.example.com",
        f"ftp://someone:{SECRET}@own.example.com",
        f"https://someone:{SECRET}@",
        f"https://someone:{SECRET}/4@own.example.com",
        f"https://someone:{SECRET}@[::1",
        f"https://someone:{SECRET}@own\u2100.example.com",
    ],
)
def test_an_address_that_is_none_is_not_quoted(url: str) -> None:
    with pytest.raises(ValidationError, match="This is no address; write https://") as refused:
        NesoGrid(base_url=url)
    assert SECRET not in str(refused.value)
    assert "someone" not in str(refused.value)
    [problem] = refused.value.errors()
    assert problem["ctx"]["error"].__context__ is None


def test_of_an_address_with_a_password_the_host_alone_is_shown(server: Any, answer: Any) -> None:
    slot = {"from": "2026-07-28T13:00Z", "to": "2026-07-28T13:30Z", "intensity": {"actual": 60}}
    server.says(answer({"data": [slot]}))
    source = NesoGrid(base_url=server.url.replace("//", f"//someone:{SECRET}@"))
    series = source.history("GB", *(parse_moment(slot[name]) for name in ("from", "to")))
    assert "Asked at 127.0.0.1." in series.provenance[0]
    told = " ".join(series.provenance) + repr(source.capabilities())
    assert SECRET not in told
    assert "someone" not in told
