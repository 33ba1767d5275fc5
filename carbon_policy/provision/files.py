"""What a team writes in `blocks/` and `deployments/`: the shape of the files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from prefect.client.schemas.schedules import CronSchedule
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.precedence import unknown_name
from carbon_policy.orchestration.names import WORKER_TYPE

GATE_TYPES = (WORKER_TYPE, "process")
"""The types of pools whose runs are placed: one decides in the worker's process, the other starts the gate for each."""

KeyPath = tuple[int | str, ...]
"""The way to a value in a file, key by key."""


def dotted(path: KeyPath) -> str:
    """A path as people write it: `work_pools[1].templates`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class Infrastructure(StrEnum):
    """The form in which a pool with several forms is made."""

    DOCKER = "docker"
    PROCESS = "process"


class FileModel(BaseModel):
    """A mapping in a file; a key that nobody knows is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            refuse_unknown_keys(data, cls.model_fields)
        return data


def refuse_unknown_keys(data: Mapping[Any, Any], known: Collection[str]) -> None:
    """Refuse a mapping with a key that is not among `known`.

    Raises:
        InvalidInputError: There is such a key; the message names the nearest that is known.
    """
    for key in data:
        if key not in known:
            raise unknown_name(str(key), known, "This")


class Entry(FileModel):
    """An item of one of the lists in a file.

    Attributes:
        name: What it is called on the server.
    """

    name: str = Field(min_length=1)
    _file: str = PrivateAttr(default="")
    _path: KeyPath = PrivateAttr(default=())

    @property
    def file(self) -> str:
        """The file that it was written in."""
        return self._file

    @property
    def path(self) -> KeyPath:
        """Where in the file."""
        return self._path

    @property
    def where(self) -> str:
        """The file and the place in it, for errors."""
        return f"{self._file}: {dotted(self._path)}"

    def located(self, file: str, path: KeyPath) -> Self:
        """The same entry, which knows where it was written."""
        self._file, self._path = file, path
        return self


class Template(FileModel):
    """A pool's base job template, as changes to one that exists.

    Attributes:
        base: `worker` to start from the worker type's own template, `gate` from that of the gate, which a pool of type
            `carbon-aware` has anyway.
        command: For a pool of processes: what to start for each run, as `process_command` takes it.
        job_configuration: JSON merge patch on it: mappings are merged, `null` takes a key away.
        variables: JSON merge patch on the schema of the job variables.
    """

    base: Literal["worker", "gate"] = "worker"
    command: str | None = None
    job_configuration: dict[str, Any] = Field(default_factory=dict, repr=False)
    variables: dict[str, Any] = Field(default_factory=dict, repr=False)


class WorkPoolEntry(Entry):
    """A work pool, of one type or in a form for each infrastructure. What is not said is left as it is.

    Attributes:
        type: The worker type, for a pool of one type.
        template: Its base job template.
        templates: Instead of both: a template for each worker type that it can be made in.
        description: Shown in the UI.
        concurrency_limit: So many runs at once.
        paused: A paused pool hands out no runs.
    """

    type: str | None = None
    template: Template = Template()
    templates: dict[Infrastructure, Template] = Field(default_factory=dict)
    description: str | None = None
    concurrency_limit: int | None = Field(default=None, ge=0)
    paused: bool | None = None

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        if bool(self.templates) == (self.type is not None):
            raise InvalidInputError("a work pool has either a type or templates; write one of them.")
        if self.templates and "template" in self.model_fields_set:
            raise InvalidInputError("a work pool with templates has no template; move it under its type.")
        forms = {self.type: self.template} if self.type else self.templates
        if any(form.command and kind != "process" for kind, form in forms.items()):
            raise InvalidInputError("a command is a process; give the pool the type process.")
        if any(form.base == "gate" and kind not in GATE_TYPES for kind, form in forms.items()):
            raise InvalidInputError(
                f"the gate is started by {' and '.join(GATE_TYPES)} workers; give the pool one of these types."
            )
        return self

    def form(self, infrastructure: Infrastructure) -> tuple[str, Template]:
        """The worker type and the template for one infrastructure.

        Raises:
            InvalidInputError: The pool cannot be made in that form.
        """
        if self.type is not None:
            return self.type, self.template
        if infrastructure not in self.templates:
            raise InvalidInputError(
                f"{self.where}: work pool {self.name!r} has no template for {infrastructure};"
                f" add one, or choose {' or '.join(self.templates)}."
            )
        return infrastructure.value, self.templates[infrastructure]


class BlockEntry(Entry):
    """A block document; its data is checked by the block type itself. What is not said is left as it is.

    Attributes:
        type: The block type's slug, `carbon-site` or any other that is installed.
        name: Lower-case letters, digits and dashes.
        data: The block's fields.
    """

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    type: str = Field(min_length=1)
    data: dict[str, Any] = Field(default_factory=dict, repr=False)

    @property
    def reference(self) -> str:
        """`type/name`, as other blocks and Prefect itself name it."""
        return f"{self.type}/{self.name}"


class Schedule(FileModel):
    """When a deployment runs by itself.

    Attributes:
        cron: Five fields.
        timezone: IANA name in which they are read.
        active: An inactive schedule is kept for later.
    """

    cron: str
    timezone: str = "UTC"
    active: bool = True

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        try:
            self.as_prefect()
        except ValidationError as error:
            raise InvalidInputError("; ".join(problem["msg"] for problem in error.errors())) from error
        return self

    def as_prefect(self) -> CronSchedule:
        """The schedule as Prefect knows it."""
        return CronSchedule(cron=self.cron, timezone=self.timezone)


class DeploymentEntry(Entry):
    """A deployment; it is replaced as a whole, as `prefect deploy` does.

    Attributes:
        entrypoint: `flows/train.py:train`, relative to the project.
        work_pool: `carbon` for runs that are placed.
        directory: Where the project lies where the job runs, such as a folder of its image; this one by default.
        image: Shorthand for the job variable `image`.
        job_variables: What is said of the job, and what is meant for its infrastructure.
        parameters: Of the flow.
        schedule: A cron expression in UTC, or a mapping with its time zone.
        tags: Shown in the UI.
        concurrency_limit: So many runs at once.
        description: The flow's own by default.
    """

    entrypoint: str
    work_pool: str
    directory: str | None = None
    image: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict, repr=False)
    parameters: dict[str, Any] = Field(default_factory=dict, repr=False)
    schedule: Schedule | None = None
    tags: list[str] = Field(default_factory=list)
    concurrency_limit: int | None = Field(default=None, ge=1)
    description: str | None = None

    @field_validator("work_pool", mode="before")
    @classmethod
    def _is_the_name_alone(cls, work_pool: Any) -> Any:
        if isinstance(work_pool, Mapping):
            raise InvalidInputError(
                f"here it is the pool's name alone: write `work_pool: {work_pool.get('name', 'carbon')}`, and"
                " `job_variables:` beside it, one level up. A mapping is what prefect.yaml has."
            )
        return work_pool

    @field_validator("schedule", mode="before")
    @classmethod
    def _cron_alone_will_do(cls, schedule: Any) -> Any:
        return {"cron": schedule} if isinstance(schedule, str) else schedule

    @property
    def variables(self) -> dict[str, Any]:
        """The job variables, the image among them."""
        return {**self.job_variables, **({"image": self.image} if self.image else {})}


class ProjectFile(FileModel):
    """One file; each list may be in any of them."""

    work_pools: list[WorkPoolEntry] = Field(default_factory=list)
    blocks: list[BlockEntry] = Field(default_factory=list)
    deployments: list[DeploymentEntry] = Field(default_factory=list)
