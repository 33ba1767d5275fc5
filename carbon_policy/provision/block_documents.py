"""Block documents: what the files make of them, checked by the block types themselves."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from prefect.plugins import load_prefect_collections
from prefect.utilities.dispatch import get_registry_for_type
from pydantic import ValidationError

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.precedence import unknown_name
from carbon_policy.orchestration.blocks import CarbonPolicy, CarbonSite
from carbon_policy.provision.files import BlockEntry, refuse_unknown_keys
from carbon_policy.provision.interpolation import Secrets
from carbon_policy.provision.plan import Kind, Step, compared
from carbon_policy.provision.pools import pool_exists
from carbon_policy.provision.project import Project, refused

_SCHEMA = "block_schema"
"""Shown as a field that changes where a document was saved by another version of its block type."""


async def plan_block(client: PrefectClient, entry: BlockEntry, project: Project) -> Step:
    """The step that makes a block document what the files say.

    Args:
        client: A client of the server.
        entry: What the files say.
        project: All that the files say; a policy and a site may name the rest of it.

    Raises:
        InvalidInputError: The block type is unknown or refuses the data, or the block names what does not exist.
    """
    kind = block_class(entry)
    existing = await read_document(client, entry.reference)
    block = _block(kind, entry, existing, project.secrets)
    for reference in _references(block):
        if not await _exists(client, reference, project):
            raise InvalidInputError(
                f"{entry.where}: it names {reference!r}, which is neither in the files nor on the server;"
                " correct the name, or add it."
            )
    old = None
    if existing is not None:
        checksum = existing.block_schema.checksum if existing.block_schema else None
        old = {**existing.data, _SCHEMA: checksum}
    wanted = {**_data(block), _SCHEMA: kind._calculate_schema_checksum()}
    change = compared(
        Kind.BLOCK, entry.reference, old, wanted, project.secrets, secret_fields=_secret_fields(kind)
    )

    async def make() -> None:
        await block.asave(entry.name, overwrite=True, client=client)

    return Step(change, make)


def block_class(entry: BlockEntry) -> type[Block]:
    """The block type of an entry, ours or any other that is installed.

    Raises:
        InvalidInputError: No such type is installed.
    """
    load_prefect_collections()
    registry: dict[str, type[Block]] = get_registry_for_type(Block) or {}
    if entry.type not in registry:
        raise unknown_name(entry.type, registry, f"{entry.where}.type")
    return registry[entry.type]


async def read_document(client: PrefectClient, reference: str) -> BlockDocument | None:
    """The document `type/name` on the server, its secrets in clear, or `None`."""
    slug, _, name = reference.partition("/")
    try:
        return await client.read_block_document_by_name(name, slug, include_secrets=True)
    except ObjectNotFound:
        return None


def _block(kind: type[Block], entry: BlockEntry, existing: BlockDocument | None, secrets: Secrets) -> Block:
    """The block as it is to be: what the files say, over what the server has of the fields that still exist."""
    fields = _field_names(kind)
    try:
        # A block type takes any key, and a mistyped one would be kept and never read.
        refuse_unknown_keys(entry.data, fields)
    except InvalidInputError as error:
        raise InvalidInputError(f"{entry.where}.data: {error}") from None
    kept = {name: value for name, value in (existing.data if existing else {}).items() if name in fields}
    try:
        return kind.model_validate({**kept, **entry.data})
    except ValidationError as error:
        raise refused(error, secrets, entry.file, (*entry.path, "data")) from None


def _field_names(kind: type[Block]) -> Collection[str]:
    return [field.alias or name for name, field in kind.model_fields.items()]


def _secret_fields(kind: type[Block]) -> frozenset[str]:
    """The fields that hold a secret, at any depth."""
    paths: list[str] = kind.model_json_schema().get("secret_fields", [])
    return frozenset(path.split(".", 1)[0] for path in paths)


def _data(block: Block) -> dict[str, Any]:
    """The block's fields as the server keeps them, secrets in clear."""
    return block.model_dump(
        mode="json", by_alias=True, include=set(type(block).model_fields), context={"include_secrets": True}
    )


def _references(block: Block) -> list[str]:
    """What a block names and cannot work without: blocks as `type/name`, a work pool by its name."""
    if isinstance(block, CarbonPolicy):
        slug = CarbonSite.get_block_type_slug()
        return [*(f"{slug}/{site}" for site in block.sites), *block.grid_sources]
    if isinstance(block, CarbonSite):
        return [block.work_pool]
    return []


async def _exists(client: PrefectClient, reference: str, project: Project) -> bool:
    if "/" in reference:
        in_files = any(block.reference == reference for block in project.blocks)
        return in_files or await read_document(client, reference) is not None
    return await pool_exists(client, reference, project)
