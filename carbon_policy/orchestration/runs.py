"""Reading flow runs from the server, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

_PAGE = 200
"""What the server gives at most for one request."""


def all_runs(
    client: SyncPrefectClient, *, sort: FlowRunSort = FlowRunSort.ID_DESC, **filters: Any
) -> Iterator[FlowRun]:
    """Every run that fits, page by page.

    Args:
        client: A client of the server.
        sort: In which order.
        **filters: As of the client's `read_flow_runs`.
    """
    offset = 0
    while True:
        page = client.read_flow_runs(sort=sort, limit=_PAGE, offset=offset, **filters)
        yield from page
        if len(page) < _PAGE:
            return
        offset += _PAGE
