"""The due runs of a pool as one batch: what the server hands out, and what is decided of all of it together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.decision import Decision, Plan
from carbon_policy.orchestration.fleet import fleets, joint_places
from carbon_policy.orchestration.names import LABEL_CHILD
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.replan import waiting_runs
from carbon_policy.orchestration.world import World
from carbon_policy.worker.clock import ServerClock

MOST = 200
"""What the server hands out at most for one request."""


@dataclass(frozen=True)
class Decided:
    """A due run, and what was decided of it.

    Attributes:
        run: As the server has it.
        deployment: `flow/deployment`; empty where it could not be read.
        decision: `None` where none could be made: then its gate says why.
        why_not: Why there is none, for people.
    """

    run: FlowRun
    deployment: str
    decision: Decision | None
    why_not: str = ""


def due_runs(
    client: SyncPrefectClient, pool: str, queues: Collection[str], before: datetime, clock: ServerClock
) -> list[FlowRun]:
    """What the server hands out of a pool, in its order; at most `MOST`.

    The server leaves out what it holds back: paused pools and queues, and what a limit has no room for.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        queues: Names of its queues to serve; all, if empty.
        before: Runs that are due by then, UTC.
        clock: Learns from the answer.

    Raises:
        ObjectNotFound: There is no such pool.
        httpx.HTTPError: The server gave no good answer.
    """
    asked: dict[str, Any] = {"scheduled_before": before.isoformat()}
    if queues:
        asked["work_queue_names"] = sorted(queues)
    answer = client.request(
        "POST", "/work_pools/{name}/get_scheduled_flow_runs", path_params={"name": pool}, json=asked
    )
    clock.learn(answer)
    ids = [item["flow_run"]["id"] for item in answer.json()]
    # It hands them out without their states, in which a run that has waited says why.
    known = {str(run.id): run for run in read_runs(client, ids)}
    # One that another worker has taken since is its own.
    return [known[run_id] for run_id in ids if run_id in known and known[run_id].state_type == "SCHEDULED"]


def read_runs(client: SyncPrefectClient, ids: Sequence[Any]) -> Iterator[FlowRun]:
    """Runs by their ids, a page at a time; those that are gone are left out."""
    for begin in range(0, len(ids), MOST):
        page = list(ids[begin : begin + MOST])
        yield from client.read_flow_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=page)), limit=MOST
        )


def decide_batch(client: SyncPrefectClient, world: World, runs: Sequence[FlowRun]) -> Iterator[Decided]:
    """Decide about runs, one after the other: each knows of the places that were taken before it is asked for.

    Runs with the policy `fleet` are planned first, with all that wait already. A run that cannot be decided is no
    reason to leave the others.

    Args:
        client: A client of the server.
        world: What is known of this moment.
        runs: Due runs.
    """
    joint = fleets(runs, world)
    places = joint_places(client, world, lambda: waiting_runs(client), joint) if joint else {}
    for run in runs:
        place = places.get(str(run.id))
        yield _decided(client, world, run, place if isinstance(place, Plan) else None)


def _decided(client: SyncPrefectClient, world: World, run: FlowRun, place: Plan | None) -> Decided:
    name = ""
    try:
        if run.deployment_id is None:
            return Decided(run, name, None, "It has no deployment.")
        if LABEL_CHILD in run.labels:
            # Retried, or left by a worker that died: its job is on its site, and cannot be put to wait by now.
            return Decided(run, name, None, "It was placed before.")
        deployment = world.deployment(run.deployment_id)
        name = f"{world.flow_name(run.flow_id)}/{deployment.name}"
        decision = decide_for(client, run, deployment, None, world.now, world=world, plan=place)
    except ObjectNotFound:
        return Decided(run, name, None, "Its deployment was deleted.")
    except Exception as error:  # Whatever it is, it is of this run, and must not hold up the others.
        return Decided(run, name, None, str(error) or type(error).__name__)
    return Decided(run, name, decision)
