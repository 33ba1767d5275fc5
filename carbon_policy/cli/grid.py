"""The grid as a decision would see it from here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carbon_policy.cli.console import warn
from carbon_policy.cli.server import NoServerError, connected
from carbon_policy.domain.errors import SetupError
from carbon_policy.grid.cloud_regions import zone_of
from carbon_policy.orchestration.directory import Directory, read_directory, read_source
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.outlook.view import GridView, grid_view

if TYPE_CHECKING:
    from carbon_policy.store.history import History


@dataclass(frozen=True)
class Team:
    """What a team may ask of the grid, and where its sites are.

    Attributes:
        grid: Its sources and its store.
        zones: Of its sites, the reference's first; empty where no policy could be read.
    """

    grid: GridView
    zones: tuple[str, ...] = ()


@contextmanager
def team_grid(source: str | None = None) -> Iterator[GridView]:
    """The policy block's sources and the store; each zone's own sources where there is nobody to ask for a policy.

    Args:
        source: Pin this grid source block, `type-slug/name`, instead of the policy's.

    Raises:
        SetupError: The source that was named does not exist.
    """
    with team(source) as known:
        yield known.grid


@contextmanager
def team(source: str | None = None) -> Iterator[Team]:
    """The same, with the zones of the team's sites; the arguments are those of `team_grid`."""
    settings = CarbonSettings()
    with ExitStack() as stack:
        if source is not None:
            pinned = [read_source(stack.enter_context(connected()), source)]
            yield Team(stack.enter_context(grid_view(settings.history_address, pinned)))
            return
        directory = _directory(stack, settings.policy_block)
        pinned = list(directory.sources) if directory else []
        keyed = directory.keyed if directory else None
        view = stack.enter_context(grid_view(settings.history_address, pinned, keyed))
        zones = [site.zone for site in directory.sites] if directory else []
        yield Team(view, tuple(dict.fromkeys(zones)))


@contextmanager
def opened_history() -> Iterator[History]:
    """The store alone, which takes no server.

    Raises:
        SetupError: It cannot be opened.
    """
    from carbon_policy.store.history import History

    with History(CarbonSettings().history_address()) as history:
        yield history


def needed_history(grid: GridView) -> History:
    """The store of a view, for a command that writes to it.

    Raises:
        SetupError: There is none; the message says what to change.
    """
    if grid.history is not None:
        return grid.history
    why = " ".join(finding.sentence for finding in grid.findings)
    raise SetupError(
        why
        or "The policy pins recordings or simulations, and of those nothing is stored;"
        " name a live source with --source, or take them out of grid_sources in blocks/policy.yaml."
    )


def resolved(names: Sequence[str], *, lenient: bool = False) -> list[str]:
    """The zones that are meant, each said where it was named by a cloud's region.

    Args:
        names: Zones or cloud regions.
        lenient: Let through what looks like a zone and is in no table: a source that was named may serve it.

    Raises:
        UnknownZoneError: A name is neither; the message names the nearest.
    """
    zones = []
    for name in names:
        zone = name if lenient and ":" not in name else zone_of(name)
        if zone != name:
            _say_resolved(name, zone)
        zones.append(zone)
    return list(dict.fromkeys(zones))


def _say_resolved(name: str, zone: str) -> None:
    from carbon_policy.cli.console import err

    err().print(f"{name} is fed by {zone}.")


def _directory(stack: ExitStack, block: str) -> Directory | None:
    try:
        return read_directory(stack.enter_context(connected()), block)
    except NoServerError:
        warn(
            f"No Prefect server answers, so policy block {block!r} was not read: the zone's own source is asked."
        )
    except SetupError as error:
        warn(f"{error} The zone's own source is asked instead.")
    return None
