"""Errors of the API are told by their kind alone."""

from __future__ import annotations

import httpx
import pytest
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError

from carbon_policy.worker.api_errors import kind_of, sentence_of

REQUEST = httpx.Request("POST", "http://admin:hunter2@prefect.internal/api/flow_runs/")


def answered(status: int) -> PrefectHTTPStatusError:
    response = httpx.Response(status, json={"input": {"api_key": "hunter2"}}, request=REQUEST)
    with pytest.raises(httpx.HTTPStatusError) as raised:
        response.raise_for_status()
    return PrefectHTTPStatusError.from_httpx_error(raised.value)


CASES = [
    (answered(503), "http-503", "The Prefect API answered 503 (Service Unavailable)."),
    (answered(599), "http-599", "The Prefect API answered 599."),
    (ObjectNotFound(answered(404)), "http-404", "The Prefect API answered 404 (Not Found)."),
    (ObjectAlreadyExists(answered(409)), "http-409", "The Prefect API answered 409 (Conflict)."),
    (httpx.ReadTimeout("hunter2"), "timeout", "The Prefect API did not answer in time."),
    (httpx.ConnectError("hunter2"), "no-connection", "The Prefect API cannot be reached."),
    (ValueError("hunter2"), "other", "The worker met an error of the kind ValueError."),
]


@pytest.mark.parametrize(("error", "kind", "sentence"), CASES, ids=[kind for _, kind, _ in CASES])
def test_an_error_is_told_by_its_kind_and_never_by_its_text(
    error: Exception, kind: str, sentence: str
) -> None:
    assert kind_of(error) == kind
    assert sentence_of(error) == sentence
