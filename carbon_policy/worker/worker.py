"""The worker type `carbon-aware`, as Prefect knows it. What it does is in `worker/service.py`.

Prefect imports this module at many a start, to learn which worker types there are; so it imports little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import anyio
from prefect.client.schemas.objects import FlowRun
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.names import WORKER_TYPE

if TYPE_CHECKING:
    from carbon_policy.worker.service import Service


class CarbonWorker(BaseWorker[BaseJobConfiguration, BaseVariables, BaseWorkerResult]):
    """Places a pool's runs in this process: all due runs are decided together, and those that wait hold nothing.

    Example:
        ```console
        prefect work-pool create carbon --type carbon-aware
        prefect worker start --pool carbon
        ```
    """

    type = WORKER_TYPE
    job_configuration = BaseJobConfiguration
    _description = (
        "Places each run where and when it emits least: now, on an eco site, or in a greener window."
    )
    _display_name = "Carbon-aware"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._service: Service | None = None
        self._run_once = False

    @classmethod
    def get_default_base_job_template(cls) -> dict[str, Any]:
        """What may be said of a job, as form fields. A process worker that serves the pool starts the gate instead."""
        from prefect.workers.process import ProcessWorker

        return gate_template(ProcessWorker.get_default_base_job_template())

    async def setup(self) -> None:
        """Begin to serve the pool."""
        await super().setup()
        from carbon_policy.worker.service import Service

        self._service = Service(
            pool=self._work_pool_name,
            queues=self._work_queues,
            worker=self.name,
            logger=self._logger,
            pool_id=lambda: self._work_pool.id if self._work_pool is not None else None,
            at_most=self._limit,
        )
        assert self._runs_task_group is not None  # noqa: S101  It was made just now.
        self._runs_task_group.start_soon(self._service.run)

    async def teardown(self, *exc_info: Any) -> None:
        """Finish what is half done, and let another worker plan."""
        service, self._service = self._service, None
        if service is not None:
            with anyio.CancelScope(shield=True):
                await service.close()
        await super().teardown(*exc_info)

    async def start(self, run_once: bool = False, *args: Any, **kwargs: Any) -> None:
        """Serve the pool until told to end; with `run_once` see to what is due now, and end."""
        self._run_once = run_once
        await super().start(run_once, *args, **kwargs)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """See to all due runs; called by Prefect at every poll. It never raises: a server that is away comes back."""
        if self._service is not None:
            await self._service.ready()
            if await self._service.poll():
                self._last_polled_time = self._service.polled_at
            if self._run_once:
                await self._service.drained()
        return []

    async def sync_with_backend(self) -> None:
        """Send a heartbeat. It never raises: Prefect's loop would give up after some minutes of outage."""
        try:
            await super().sync_with_backend()
        except Exception as error:
            if self._service is None:
                raise
            self._service.failed("send a heartbeat", error)

    async def _setup_cancellation_observer(self) -> None:
        """None: a run here has no process, and cancellations are passed on to its job."""

    async def run(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not to be called: runs of this pool have no infrastructure of their own."""
        raise NotImplementedError(
            "A carbon-aware pool runs nothing itself: it places deployments' runs on the work pools of its sites."
            " Submit to one of those."
        )
