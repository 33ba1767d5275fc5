"""`carbon-policy zones`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.table import Table

    from carbon_policy.store.upkeep import ZoneHistory

EXAMPLES = (
    "carbon-policy zones",
    "carbon-policy zones germany",
    "carbon-policy zones aws:eu-west",
    "carbon-policy zones --stored",
    "carbon-policy zones --json | jq '.zones[] | select(.keyless != [])'",
)

JSON_SCHEMA = "carbon-policy-zones/1"
"""Named in the JSON; raised when a field changes its meaning."""

_MOST_REGIONS = 4


def zones(
    matching: Annotated[
        str,
        typer.Argument(metavar="FILTER", help="Only zones whose key, name or cloud regions contain this."),
    ] = "",
    stored: Annotated[
        bool, typer.Option("--stored", help="Only zones of which something is stored.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as data.")] = False,
) -> None:
    """List the grid zones: who serves each without an account, its clouds, and what is stored of it."""
    import json

    from carbon_policy.cli.console import out
    from carbon_policy.cli.words import counted

    known = [zone for zone in _zones(matching) if zone["stored"] or not stored]
    if as_json:
        typer.echo(json.dumps({"schema": JSON_SCHEMA, "zones": known}, indent=2, ensure_ascii=False))
        return
    console = out()
    if not known:
        console.print("No zone is stored yet." if stored and not matching else _nothing_like(matching))
        return
    console.print(_table(known))
    console.print(
        f"{counted(len(known), 'zone')}. The mean is over a year, in g/kWh; keyless sources take no account.",
        style="dim",
    )


def _zones(matching: str) -> Iterator[dict[str, Any]]:
    from itertools import groupby

    from carbon_policy.grid.cloud_regions import cloud_regions
    from carbon_policy.grid.keyless import KEYLESS_KINDS
    from carbon_policy.grid.zones import known_zones, yearly_mean_gco2_per_kwh

    served = [source.capabilities() for source in (kind() for kind in KEYLESS_KINDS)]
    regions = sorted(cloud_regions().values(), key=lambda region: region.zone)
    by_zone = {zone: [one.name for one in group] for zone, group in groupby(regions, lambda r: r.zone)}
    kept = {zone: list(group) for zone, group in groupby(_kept(), lambda entry: entry.zone)}
    keyless_zones = {zone for one in served for zone in one.zones or ()}
    wanted = matching.casefold()
    for zone in sorted({*known_zones(), *by_zone, *kept, *keyless_zones}):
        mean = yearly_mean_gco2_per_kwh(zone)
        names = by_zone.get(zone, [])
        if not any(wanted in text.casefold() for text in (zone, mean.name, *names)):
            continue
        yield {
            "zone": zone,
            "name": mean.name,
            "yearly_mean_gco2_per_kwh": mean.gco2_per_kwh,
            "yearly_mean_of": mean.zone,
            "year": mean.year,
            "keyless": [one.name for one in served if zone in (one.zones or ())],
            "cloud_regions": names,
            "stored": [_as_data(entry) for entry in kept.get(zone, [])],
        }


def _kept() -> Sequence[ZoneHistory]:
    """What the store holds; that it cannot be opened keeps nobody from a list of zones."""
    from carbon_policy.cli.console import warn
    from carbon_policy.cli.grid import opened_history
    from carbon_policy.domain.errors import SetupError

    try:
        with opened_history() as history:
            return history.zones()
    except SetupError as error:
        warn(str(error))
        return []


def _as_data(entry: ZoneHistory) -> dict[str, Any]:
    from carbon_policy.cli.words import iso

    def text(moment: datetime | None) -> str | None:
        return iso(moment) if moment else None

    return {
        "source": entry.source,
        "kind": str(entry.labels),
        "first_slot": text(entry.first_slot),
        "last_slot": text(entry.last_slot),
        "slots": entry.slots,
        "estimated_slots": entry.estimated_slots,
        "last_fetched_at": text(entry.last_fetched_at),
        "forecasts": entry.forecasts,
        "last_issued_at": text(entry.last_issued_at),
    }


def _table(known: Sequence[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Zone", no_wrap=True)
    table.add_column("Name", overflow="fold")
    table.add_column("Mean", justify="right", no_wrap=True)
    table.add_column("Keyless", overflow="fold")
    table.add_column("Cloud regions", overflow="fold")
    table.add_column("Stored", overflow="fold")
    for zone in known:
        regions = zone["cloud_regions"]
        more = [f"and {len(regions) - _MOST_REGIONS} more"] if len(regions) > _MOST_REGIONS else []
        of_another = "" if zone["yearly_mean_of"] == zone["zone"] else f" ({zone['yearly_mean_of']})"
        table.add_row(
            zone["zone"],
            zone["name"],
            f"{zone['yearly_mean_gco2_per_kwh']:.0f}{of_another}",
            ", ".join(zone["keyless"]) or "–",
            "\n".join([*regions[:_MOST_REGIONS], *more]) or "–",
            "\n".join(map(_stored, zone["stored"])) or "–",
        )
    return table


def _stored(entry: dict[str, Any]) -> str:
    from carbon_policy.cli.words import counted

    parts = []
    if entry["slots"]:
        last = entry["last_slot"][:16].replace("T", " ")
        parts.append(f"{counted(entry['slots'], 'slot')}, {entry['first_slot'][:10]} to {last}")
    if entry["forecasts"]:
        parts.append(counted(entry["forecasts"], "forecast"))
    return f"{entry['source']}: {'; '.join(parts)}"


def _nothing_like(matching: str) -> str:
    from carbon_policy.grid.zones import known_zones, suggest_zones

    near = suggest_zones(matching, known_zones())
    return f"No zone is like {matching!r}." + (f" Did you mean {' or '.join(near)}?" if near else "")
