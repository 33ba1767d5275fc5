"""What the Prefect server knows of a team's choices: the policy, the sites, their pools, the grid sources."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import isabstract
from typing import Any, TypeVar

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument, WorkPool
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

import carbon_policy.grid.builtin  # noqa: F401  The registry of block types knows what was imported.
from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.precedence import refusal
from carbon_policy.domain.site import Site, Tier
from carbon_policy.grid.keyless import KEYLESS_KINDS
from carbon_policy.grid.replayed import ReplayedSource
from carbon_policy.grid.source import GridSource
from carbon_policy.orchestration.blocks import CarbonPolicy, CarbonSite
from carbon_policy.orchestration.names import WORKER_TYPE
from carbon_policy.orchestration.status import Status
from carbon_policy.outlook.chains import Keyed

logger = logging.getLogger("prefect.carbon_policy")

_GATE_MODULE = "carbon_policy.orchestration.gate"

B = TypeVar("B", bound=Block)


@dataclass(frozen=True)
class Directory:
    """A team's choices, read once for one decision.

    Attributes:
        policy_name: Name of the policy block.
        policy: The policy block.
        sites: The sites, the reference first; one that takes no job, as Prefect reports of it, is disabled.
        pools: The work pools of the server, by name.
        sources: Pinned grid sources, the preferred first; empty for the zones' defaults.
        keyed: Gives every other source with an account that stands as a block on the server.
        notes: What had to be left out, and why.
        asleep: Sites whose pool has no worker online, with a sentence; a job is sent there only where it would have
            gone without us.
        free: Gives the jobs that a site can take now, asked of the server where that is needed; `None` where it has no
            limit.
    """

    policy_name: str
    policy: CarbonPolicy
    sites: tuple[Site, ...]
    pools: dict[str, WorkPool]
    sources: tuple[GridSource, ...]
    keyed: Keyed | None = None
    notes: tuple[str, ...] = ()
    asleep: Mapping[str, str] = field(default_factory=dict)
    free: Callable[[Site], int | None] = lambda _: None

    @cached_property
    def infrastructure_variables(self) -> frozenset[str]:
        """Every job variable that some site's pool knows."""
        used = {site.work_pool for site in self.sites} & self.pools.keys()
        return frozenset(name for pool in used for name in pool_variables(self.pools[pool]))


def pool_variables(pool: WorkPool) -> dict[str, Any]:
    """The job variables that a work pool's template knows, name to JSON schema."""
    variables = (pool.base_job_template or {}).get("variables", {})
    return dict(variables.get("properties", {}))


def starts_gate(pool: WorkPool) -> bool:
    """Whether a pool's workers decide about its runs, and do not start the user's flow."""
    if pool.type == WORKER_TYPE:
        return True
    configuration = (pool.base_job_template or {}).get("job_configuration", {})
    return _GATE_MODULE in str(configuration.get("command", ""))


def read_directory(client: SyncPrefectClient, policy_name: str) -> Directory:
    """Read a policy block and all that it names.

    Args:
        client: A client of the server.
        policy_name: Name of a Carbon Policy block.

    Raises:
        SetupError: The block is missing, or names what does not exist; the message says what to do.
    """
    policy = _read_block(client, CarbonPolicy, policy_name)
    pools = {pool.name: pool for pool in client.read_work_pools(limit=200)}
    status = Status(client, pools)
    notes: list[str] = []
    asleep: dict[str, str] = {}
    sites = []
    for name in policy.sites:
        site = _read_block(client, CarbonSite, name).as_site(name)
        why = status.unusable(site)
        if why:
            notes.append(why)
            site = site.model_copy(update={"enabled": False})
        elif sentence := status.asleep(site):
            asleep[name] = sentence
        sites.append(site)
    # The reference comes first: every saving is judged against it.
    sites.sort(key=lambda site: site.tier is not Tier.FAST)
    sources = tuple(read_source(client, reference) for reference in policy.grid_sources)
    return Directory(
        policy_name=policy_name,
        policy=policy,
        sites=tuple(sites),
        pools=pools,
        sources=sources,
        keyed=lambda: keyed_sources(client),
        notes=tuple(notes),
        asleep=asleep,
        free=status.free,
    )


def _read_block(client: SyncPrefectClient, kind: type[B], name: str) -> B:
    slug = kind.get_block_type_slug()
    document = _read_document(client, slug, name)
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        raise SetupError(f"Block {slug}/{name} is not valid: {refusal(error, values=False)}") from None


def _read_document(client: SyncPrefectClient, slug: str, name: str) -> BlockDocument:
    try:
        return client.read_block_document_by_name(name=name, block_type_slug=slug, include_secrets=True)
    except ObjectNotFound as error:
        raise SetupError(
            f"There is no block {slug}/{name} on the server. Run carbon-policy apply in your project,"
            " or create it in the Prefect UI under Blocks."
        ) from error


def read_source(client: SyncPrefectClient, reference: str) -> GridSource:
    """The grid source of a block.

    Args:
        client: A client of the server.
        reference: `type-slug/name`.

    Raises:
        SetupError: There is no such block, or it is no grid source.
    """
    slug, _, name = reference.partition("/")
    kinds = source_kinds()
    if slug not in kinds:
        known = ", ".join(sorted(kinds))
        raise SetupError(f"{reference!r} names no grid source that is installed here. Known: {known}.")
    source: GridSource = _read_block(client, kinds[slug], name)
    return source


def keyed_sources(client: SyncPrefectClient) -> list[GridSource]:
    """Every source with an account, or of the team's own network, that stands as a block on the server.

    A block that is broken is left out with a warning: the others can still be asked.
    """
    found = []
    for slug, kind in source_kinds().items():
        if kind in KEYLESS_KINDS or issubclass(kind, ReplayedSource):
            continue
        for document in _documents_of_type(client, slug):
            try:
                found.append(kind.model_validate(document.data))
            except Exception as error:  # A source of somebody else's may raise anything.
                logger.warning(
                    "Block %s/%s was left out, as it is not valid: %s.",
                    slug,
                    document.name or document.id,
                    _without_values(error),
                )
    return found


def _documents_of_type(client: SyncPrefectClient, slug: str) -> list[BlockDocument]:
    """The blocks of a type; none where the type itself was never registered with this server."""
    try:
        return client.read_block_documents_by_type(slug, include_secrets=True)
    except (ObjectNotFound, httpx.HTTPStatusError) as error:
        # Of all the client's reading methods this one lets the bare status through.
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return []


def _without_values(error: Exception) -> str:
    """What was refused of a block, and none of its values: they may be secrets."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    problems = error.errors(include_input=False, include_context=False, include_url=False)
    return ", ".join(
        f"{problem['loc'][0]} ({problem['type']})" if problem["loc"] else problem["type"]
        for problem in problems
    )


def source_kinds() -> dict[str, type[GridSource]]:
    """The grid sources that are installed here, by the slug of their block type."""
    return {kind.get_block_type_slug(): kind for kind in _subclasses(GridSource) if not isabstract(kind)}


def _subclasses(kind: type[Any]) -> list[type[Any]]:
    return [cls for direct in kind.__subclasses__() for cls in (direct, *_subclasses(direct))]
