"""`carbon-policy explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from carbon_policy.domain.decision import Decision

EXAMPLES = (
    "carbon-policy explain train/nightly",
    "carbon-policy explain train/nightly --at 2026-11-22T18:00:00Z",
    "carbon-policy explain train/nightly -jv urgency=flexible -jv finish_within=12h",
    "carbon-policy explain train/nightly --json | jq .decision.sentence",
)

JSON_SCHEMA = "carbon-policy-explain/1"
"""Named in the JSON; raised when a field changes its meaning."""


def explain(
    deployment: Annotated[
        str, typer.Argument(metavar="DEPLOYMENT", help="The deployment, as flow/deployment.")
    ],
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Decide as of this time, with its zone, instead of now."),
    ] = None,
    job_variable: Annotated[
        list[str] | None,
        typer.Option(
            "--job-variable", "-jv", metavar="KEY=VALUE", help="As a run would set it; may be repeated."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole decision with its evidence.")
    ] = False,
) -> None:
    """Show what would be decided about a run of a deployment, and why.

    It creates no run and changes nothing.
    """
    import json
    from datetime import UTC, datetime

    from carbon_policy.cli.console import out, working
    from carbon_policy.cli.explained import decision_view
    from carbon_policy.cli.server import connected
    from carbon_policy.domain.times import parse_moment

    now = parse_moment(at) if at else datetime.now(UTC)
    variables = dict(_pair(text) for text in job_variable or ())
    with connected() as client, working("Asking the grid ..."):
        decision, placed_by = _decide(client, deployment, variables, now)
    if as_json:
        document = {
            "schema": JSON_SCHEMA,
            "deployment": deployment,
            "placed_by": placed_by,
            "decision": decision.model_dump(mode="json"),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    console = out()
    console.print(decision_view(decision, deployment, placed_by, console.width))


def _pair(text: str) -> tuple[str, Any]:
    """`key=value`, the value read as JSON where it is JSON, as `prefect deployment run` does."""
    import json

    from carbon_policy.domain.errors import InvalidInputError

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InvalidInputError(f"{text!r} sets no job variable; write --job-variable urgency=flexible.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _decide(client: Any, name: str, variables: dict[str, Any], now: datetime) -> tuple[Decision, str | None]:
    """The decision about a run that is only imagined, and what would ask for it, if anything."""
    from prefect.client.schemas.objects import FlowRun

    from carbon_policy.cli.lookup import find_deployment, placed_by
    from carbon_policy.domain.errors import InvalidInputError
    from carbon_policy.orchestration.names import PLACED
    from carbon_policy.orchestration.policy_task import decide_for

    deployment = find_deployment(client, name)
    if PLACED in (deployment.job_variables or {}):
        original = name.rpartition("@")[0] or "the deployment that it is the twin of"
        raise InvalidInputError(
            f"{name} is a twin: its runs are placed already, and nobody decides about them. Explain {original}."
        )
    run = FlowRun(
        # Equal starts are spread by the run's id; this one gives the same answer whenever it is asked.
        id=deployment.id,
        flow_id=deployment.flow_id,
        deployment_id=deployment.id,
        job_variables=variables,
        expected_start_time=now,
    )
    return decide_for(client, run, deployment, None, now), placed_by(client, deployment)
