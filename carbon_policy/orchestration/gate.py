"""The gate: what the `carbon` pool starts for every run instead of the user's flow.

It imports no user code and runs no pull steps: it decides about the run, and acts. Started as
`python -m carbon_policy.orchestration.gate` with `PREFECT__FLOW_RUN_ID` set, as a worker does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import flow
from prefect._internal.control_listener import configure_from_env
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.engine import handle_engine_signals
from prefect.flow_engine import run_flow_sync
from prefect.states import Crashed, Failed

from carbon_policy.domain.errors import CarbonPolicyError, SetupError
from carbon_policy.orchestration.placement import RunHere, place

T = TypeVar("T")


@flow(name="carbon-gate", retries=0, persist_result=False, validate_parameters=False)
def gate() -> State[Any]:
    """Place the run that this process was started for."""
    with get_client(sync_client=True) as client:
        # The engine's copy was read before the run began; labels may have changed since.
        run = client.read_flow_run(run_in_context())
        try:
            outcome = refused_or(lambda: place(client, run))
        except httpx.HTTPError as error:
            # The client has tried several times. Crashed, and not Failed: nobody is to change anything, and a crashed
            # gate is started again (`orchestration/overdue.py`).
            return Crashed(message=f"Not placed, as the Prefect server gave no good answer: {error!r}")
    if isinstance(outcome, RunHere):
        raise SetupError("A gate has no code to run; this is a defect of carbon-policy.")
    return outcome


def run_in_context() -> UUID:
    """The id of the run that this flow runs under.

    Raises:
        SetupError: The gate was called by hand.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise SetupError("The gate was called by hand; it is started by a worker of the carbon pool.")
    return context.flow_run.id


def refused_or(settle: Callable[[], T]) -> T | State[Any]:
    """What came of a run, or the state in which it ends because what was said of it cannot be followed."""
    try:
        return settle()
    except CarbonPolicyError as error:
        # The message says what to change, and no traceback says it better. The run can be retried as it is.
        return Failed(name="Refused", message=str(error))


def run_gate(run: FlowRun) -> None:
    """Run the gate's flow, with its policy task, under the user's own run.

    A failed gate is a failed run on the server, and not a crashed process. `run_flow` would hand the gate the run's
    parameters, which are the user's flow's; hence the function below it.
    """
    run_flow_sync(gate, flow_run=run, parameters={}, return_type="state")


def main() -> int:
    """The process that a worker starts; 0 unless there is no run to place."""
    try:
        run_id = UUID(os.environ.get("PREFECT__FLOW_RUN_ID", ""))
    except ValueError:
        sys.stderr.write(
            "carbon-policy: PREFECT__FLOW_RUN_ID names no flow run. The gate is started by a worker of the"
            " carbon pool, not by hand.\n"
        )
        return 2
    # Lets the worker tell a cancellation from a crash, as in `python -m prefect.engine`.
    configure_from_env()
    with handle_engine_signals(run_id):
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(run_id)
        run_gate(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
