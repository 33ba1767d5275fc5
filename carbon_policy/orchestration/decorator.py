"""`@carbon_aware`: one line on a user's own flow."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, cast, overload

from prefect import Flow
from prefect.client.schemas.objects import State
from pydantic import ValidationError

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.job import JobSpec, Mode, OnMissed, OverBudget, PolicyName, Risk, Urgency
from carbon_policy.domain.precedence import refusal, unknown_name
from carbon_policy.orchestration import recording
from carbon_policy.orchestration.direct import wait_until, wait_until_async
from carbon_policy.orchestration.entry import begin
from carbon_policy.orchestration.recording import DECLARED_ATTRIBUTE

P = ParamSpec("P")
R = TypeVar("R")

recording.install()


class CarbonFlow(Flow[P, R]):
    """A Prefect flow that knows how urgent and how flexible it is; in all else the flow that it was made from."""

    carbon_declared: dict[str, Any]

    @classmethod
    def wrap(cls, flow: Flow[P, R], declared: dict[str, Any]) -> CarbonFlow[P, R]:
        """The same flow, which consults the carbon policy when it starts."""
        carbon = cls.__new__(cls)
        # Everything that the flow learnt when it was made - name, version, entrypoint, signature, hooks - stays.
        carbon.__dict__.update(flow.__dict__)
        setattr(carbon, DECLARED_ATTRIBUTE, declared)
        carbon.fn = _consulting(flow, declared)
        return carbon

    def with_options(self, **options: Any) -> CarbonFlow[P, R]:
        """A copy with other options, as `Flow.with_options`; what was said of carbon stays."""
        copy = super().with_options(**options)
        # The function is wrapped already.
        carbon = type(self).__new__(type(self))
        carbon.__dict__.update(copy.__dict__)
        setattr(carbon, DECLARED_ATTRIBUTE, self.carbon_declared)
        return carbon


def _consulting(flow: Flow[P, R], declared: dict[str, Any]) -> Callable[P, R]:
    """The flow's function, with the policy asked first; of the same kind, so that Prefect runs it alike."""
    fn = cast(Callable[..., Any], flow.fn)
    if flow.isasync and flow.isgenerator:

        @functools.wraps(fn)
        async def async_generator(*args: Any, **kwargs: Any) -> Any:
            start = begin(declared)
            if start is None:
                async for item in fn(*args, **kwargs):
                    yield item
                return
            _refuse_to_move(start)
            with start.tracking:  # type: ignore[union-attr]
                async for item in fn(*args, **kwargs):
                    yield item

        return cast(Callable[P, R], async_generator)
    if flow.isgenerator:

        @functools.wraps(fn)
        def generator(*args: Any, **kwargs: Any) -> Any:
            start = begin(declared)
            if start is None:
                yield from fn(*args, **kwargs)
                return
            _refuse_to_move(start)
            with start.tracking:  # type: ignore[union-attr]
                yield from fn(*args, **kwargs)

        return cast(Callable[P, R], generator)
    if flow.isasync:

        @functools.wraps(fn)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            start = begin(declared)
            if start is None:
                return await fn(*args, **kwargs)
            if isinstance(start, State):
                return start
            if start.advice is not None and (moment := start.advice.start_at()) is not None:
                await wait_until_async(moment)
            with start.tracking:
                return await fn(*args, **kwargs)

        return cast(Callable[P, R], coroutine)

    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        start = begin(declared)
        if start is None:
            return fn(*args, **kwargs)
        if isinstance(start, State):
            return start
        if start.advice is not None and (moment := start.advice.start_at()) is not None:
            wait_until(moment)
        with start.tracking:
            return fn(*args, **kwargs)

    return cast(Callable[P, R], function)


def _refuse_to_move(start: object) -> None:
    """A generator flow cannot end as placed elsewhere: its caller waits for what it yields."""
    if isinstance(start, State):
        raise InvalidInputError(
            "A flow that yields cannot be sent to another site; give it allowed_sites with the site of its own pool."
        )


@overload
def carbon_aware(flow: Flow[P, R], /) -> CarbonFlow[P, R]: ...


@overload
def carbon_aware(
    *,
    urgency: Urgency | str | None = None,
    start_within: timedelta | str | None = None,
    start_by: datetime | str | None = None,
    finish_within: timedelta | str | None = None,
    finish_by: datetime | str | None = None,
    earliest_start: datetime | str | None = None,
    start_early: timedelta | str | None = None,
    allowed_hours: str | None = None,
    timezone: str | None = None,
    expected_duration: timedelta | str | None = None,
    allowed_zones: tuple[str, ...] | list[str] | str | None = None,
    allowed_sites: tuple[str, ...] | list[str] | str | None = None,
    policy: PolicyName | str | None = None,
    minimum_saving: float | None = None,
    max_deferrals: int | None = None,
    on_missed: OnMissed | str | None = None,
    wait: bool | None = None,
    mode: Mode | str | None = None,
    interruptible: bool | None = None,
    stop_cost: timedelta | str | None = None,
    restart_cost: timedelta | str | None = None,
    shortest_slice: timedelta | str | None = None,
    risk: Risk | str | None = None,
    cpus: float | None = None,
    memory_gb: float | None = None,
    gpus: int | None = None,
    max_latency_ms: float | None = None,
    data_gb: float | None = None,
    data_zone: str | None = None,
    functional_unit: str | None = None,
    quantity: float | None = None,
    budget_gco2: float | None = None,
    budget_cost: float | None = None,
    over_budget: OverBudget | str | None = None,
) -> Callable[[Flow[P, R]], CarbonFlow[P, R]]: ...


def carbon_aware(flow: Any = None, /, **said: Any) -> Any:
    """Say of a flow how urgent and how flexible it is; its deployments' runs are placed accordingly.

    Put it over `@flow`, with or without parentheses. What it does depends on where a run starts:

    - A deployment's run consults the carbon policy, and then runs here and now, or is sent to the chosen site,
      or puts itself back to wait and frees its infrastructure.
    - A run that was placed already runs your code, and its energy is measured.
    - A direct call, or a subflow, runs at once, measured, and logs what waiting would have saved.
      With `wait=True` it waits in its process, with a countdown.

    The arguments are recorded with the deployment when it is deployed; a deployment's or a run's job variables of
    the same names win over them.

    Args:
        flow: The flow, when used without parentheses.
        **said: Fields of `carbon_policy.JobSpec`: `urgency`, `start_within`, `start_by`, `finish_within`, `finish_by`,
            `earliest_start`, `start_early`, `allowed_hours`, `timezone`, `expected_duration`, `allowed_zones`,
            `allowed_sites`, `policy`, `minimum_saving`, `max_deferrals`, `on_missed`, `wait`, `mode`, `interruptible`,
            `stop_cost`, `restart_cost`, `shortest_slice`, `risk`, `cpus`, `memory_gb`, `gpus`, `max_latency_ms`,
            `data_gb`, `data_zone`, `functional_unit`, `quantity`, `budget_gco2`, `budget_cost`, `over_budget`.

    Returns:
        A Prefect `Flow`: it deploys, serves, retries and documents itself as before.

    Raises:
        InvalidInputError: A value is refused, a name is unknown, or what is below is not a flow.

    Example:
        ```python
        from carbon_policy import carbon_aware
        from prefect import flow

        @carbon_aware(urgency="flexible", finish_within="12h", expected_duration="45m")
        @flow
        def train(epochs: int = 3) -> float: ...
        ```
    """
    declared = _declared(said)
    if flow is None:
        return lambda decorated: CarbonFlow.wrap(_checked(decorated), declared)
    return CarbonFlow.wrap(_checked(flow), declared)


def _checked(flow: Any) -> Flow[Any, Any]:
    if isinstance(flow, CarbonFlow):
        raise InvalidInputError(f"{flow.name} is carbon_aware already; keep one of the two decorators.")
    if not isinstance(flow, Flow):
        raise InvalidInputError(
            f"@carbon_aware goes above @flow, and {getattr(flow, '__name__', flow)!r} is not a flow yet; write\n"
            "@carbon_aware(...)\n@flow\ndef ..."
        )
    return flow


def _declared(said: dict[str, Any]) -> dict[str, Any]:
    """What was said as plain JSON, checked now so that a typing error shows where it was made."""
    given = {name: value for name, value in said.items() if value is not None}
    unknown = [name for name in given if name not in JobSpec.model_fields]
    if unknown:
        raise unknown_name(unknown[0], JobSpec.model_fields, "@carbon_aware")
    try:
        return JobSpec(**given).model_dump(mode="json", include=set(given))
    except ValidationError as error:
        raise refusal(error) from error
