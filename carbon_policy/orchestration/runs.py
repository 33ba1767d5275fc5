"""Reading flow runs and deployments from the server, however many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
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


def all_deployments(client: SyncPrefectClient, **filters: Any) -> Iterator[DeploymentResponse]:
    """Every deployment that fits, page by page.

    Args:
        client: A client of the server.
        **filters: As of the client's `read_deployments`.
    """
    offset = 0
    while True:
        page = client.read_deployments(limit=_PAGE, offset=offset, **filters)
        yield from page
        if len(page) < _PAGE:
            return
        offset += _PAGE


def count_without_pool(client: SyncPrefectClient, wanted: FlowRunFilter) -> int:
    """How many of the runs that fit are on no work pool. No filter asks for those, but to count is cheap.

    Args:
        client: A client of the server.
        wanted: Which runs.
    """
    in_all: int = client.count_flow_runs(flow_run_filter=wanted)
    # A filter that asks for nothing keeps the runs that have a pool.
    on_a_pool: int = client.count_flow_runs(flow_run_filter=wanted, work_pool_filter=WorkPoolFilter())
    return max(0, in_all - on_a_pool)
