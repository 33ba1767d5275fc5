"""What decisions are made from, asked once for however many decisions are made of one moment."""

from __future__ import annotations

import json
from collections import Counter
from copy import copy
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from carbon_policy.domain.job import JobSpec, PolicyName
from carbon_policy.orchestration.asked_ledger import AskedLedger
from carbon_policy.orchestration.directory import Directory, read_directory
from carbon_policy.orchestration.evidence import Asked, ask_grid
from carbon_policy.orchestration.experience import Experience, experience_of
from carbon_policy.orchestration.settings import CarbonSettings


class World:
    """A team's choices, its grid and its ledger, as they are at one moment.

    Args:
        client: A client of the server.
        now: The moment, UTC.
    """

    def __init__(self, client: SyncPrefectClient, now: datetime) -> None:
        self.settings = CarbonSettings()
        self.now = now
        self._client = client
        self._directories: dict[str, Directory] = {}
        self._deployments: dict[UUID, DeploymentResponse] = {}
        self._flows: dict[UUID, str] = {}
        self._asked: dict[tuple[Any, ...], Asked] = {}
        self._experiences: dict[tuple[Any, ...], Experience] = {}
        self._ledger = AskedLedger()
        self._taken: Counter[str] = Counter()
        # Shared, as all of these, by the same world a moment later.
        self._joint: set[bool] = set()

    def at(self, now: datetime) -> World:
        """The same world a moment later (UTC): what was read of it is not read again."""
        later = copy(self)
        later.now = now
        return later

    @property
    def policies(self) -> set[str]:
        """The names of the policy blocks by which was decided."""
        return set(self._directories)

    @property
    def plans_jointly(self) -> bool:
        """Whether a run was met that is planned together with all others."""
        return bool(self._joint)

    def note_joint(self) -> None:
        """A run was met that is planned together with all others."""
        self._joint.add(True)

    def take(self, site: str) -> None:
        """A job was given a place on a site since it was looked at."""
        self._taken[site] += 1

    def taken(self, site: str) -> int:
        """How many were."""
        return self._taken[site]

    def directory(self, policy_name: str) -> Directory:
        """A team's choices, by the name of its policy block.

        Raises:
            SetupError: The block, or something that it names, is missing.
        """
        if policy_name not in self._directories:
            self._directories[policy_name] = read_directory(self._client, policy_name)
        return self._directories[policy_name]

    def deployment(self, deployment_id: UUID) -> DeploymentResponse:
        """A deployment."""
        if deployment_id not in self._deployments:
            self._deployments[deployment_id] = self._client.read_deployment(deployment_id)
        return self._deployments[deployment_id]

    def flow_name(self, flow_id: UUID) -> str:
        """The name of a flow."""
        if flow_id not in self._flows:
            self._flows[flow_id] = str(self._client.read_flow(flow_id).name)
        return self._flows[flow_id]

    def grid(self, directory: Directory, spec: JobSpec) -> Asked:
        """What the grid says of all zones of a team's sites."""
        zones = tuple(site.zone for site in directory.sites)
        key = (directory.policy_name, zones, spec.policy is PolicyName.THRESHOLD)
        if key not in self._asked:
            self._asked[key] = ask_grid(directory, spec, self.now)
        return self._asked[key]

    def experience(
        self, directory: Directory, spec: JobSpec, run: FlowRun, deployment: DeploymentResponse | None
    ) -> Experience:
        """What the ledger says of a run; of equal runs it is asked once."""
        if deployment is None:
            return Experience()
        parameters = json.dumps(run.parameters, sort_keys=True, default=str)
        key = (directory.policy_name, deployment.id, spec, parameters, tuple(sorted(run.tags)))
        if key not in self._experiences:
            self._experiences[key] = experience_of(
                directory,
                spec,
                self.settings,
                self._ledger,
                flow=partial(self.flow_name, run.flow_id),
                deployment=deployment.name,
                parameters=run.parameters,
                tags=run.tags,
                now=self.now,
            )
        return self._experiences[key]
