"""A run's saved state in Prefect's result storage, which no kill at any moment can lose.

Two places are written in turn, each with a number and a checksum. So a process that dies while it writes leaves a
broken newest state and the whole one before it, whatever the storage promises of its writes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.serializers import Serializer

from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError
from carbon_policy.orchestration.records import logger, quietly

_FOLDER = "carbon-policy/checkpoints"
_PLACES = 2
_FORMAT = 1


class BrokenStateError(CarbonPolicyError):
    """A saved state is not what was saved."""


@dataclass(frozen=True)
class Packed:
    """A state as it is stored.

    Attributes:
        number: Counts a run's states; the highest is the newest.
        serializer: What the state was made into bytes by.
        body: Those bytes.
    """

    number: int
    serializer: dict[str, Any]
    body: bytes

    def as_bytes(self) -> bytes:
        """One line of JSON, and the body."""
        header = {
            "format": _FORMAT,
            "number": self.number,
            "serializer": self.serializer,
            "bytes": len(self.body),
            "sha256": hashlib.sha256(self.body).hexdigest(),
        }
        return json.dumps(header).encode() + b"\n" + self.body

    @classmethod
    def of_bytes(cls, content: bytes) -> Packed:
        """Read `as_bytes` back.

        Raises:
            BrokenStateError: It was cut short, or changed.
        """
        line, _, body = content.partition(b"\n")
        try:
            header = json.loads(line)
            number, serializer, digest = int(header["number"]), header["serializer"], header["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenStateError(f"its first line cannot be read ({error})") from error
        if hashlib.sha256(body).hexdigest() != digest:
            raise BrokenStateError(
                f"its checksum is wrong: {len(body)} of {header.get('bytes')} bytes are there"
            )
        return cls(number, serializer, body)


class SavedStates:
    """The states that one flow run has saved.

    Args:
        storage: Prefect's result storage.
        serializer: What new states are made into bytes by.
        run_id: The flow run.
    """

    def __init__(self, storage: WritableFileSystem, serializer: Serializer[Any], run_id: UUID) -> None:
        self._storage: Any = storage
        self._serializer = serializer
        self._run_id = run_id
        self._newest: int | None = None

    @property
    def saved(self) -> int:
        """How many states were saved, as far as they are known here."""
        return self._newest or 0

    def save(self, state: Any) -> None:
        """Save a state; the one before it stays until the next.

        Raises:
            InvalidInputError: The state cannot be made into bytes.
            Exception: Whatever the storage raises.
        """
        try:
            body = self._serializer.dumps(state)
        except Exception as error:
            raise InvalidInputError(
                f"A state of type {type(state).__name__} cannot be saved by the {self._serializer.type!r}"
                f" serializer of its flow's results: {error}. Save plain data, or set the flow's result_serializer."
            ) from error
        if self._newest is None:
            # Nobody asked for the state that there is; the new one must count on from it all the same.
            self._newest = max((packed.number for packed in self._stored()), default=0)
        number = self._newest + 1
        serializer = self._serializer.model_dump(mode="json", serialize_as_any=True)
        content = Packed(number, serializer, body).as_bytes()
        self._storage.write_path(self._key(number), content=content, _sync=True)
        self._newest = number

    def load(self) -> tuple[Any] | None:
        """The newest state that is whole, in a tuple, since a state may be `None`; `None` where there is none."""
        stored = sorted(self._stored(), key=lambda packed: packed.number, reverse=True)
        self._newest = 0
        for packed in stored:
            try:
                state = Serializer(**packed.serializer).loads(packed.body)
            except Exception as error:  # A pickle may raise anything.
                self._warn(f"number {packed.number} cannot be read ({type(error).__name__}: {error})")
                continue
            self._newest = packed.number
            return (state,)
        return None

    def forget(self) -> None:
        """Remove the states; where the storage cannot remove, they are emptied."""
        for number in range(1, min(self.saved, _PLACES) + 1):
            quietly("remove a run's saved state", partial(self._remove, self._key(number)))
        self._newest = 0

    def _remove(self, key: str) -> None:
        if not isinstance(self._storage, LocalFileSystem):
            self._storage.write_path(key, content=b"", _sync=True)
            return
        path = self._storage._resolve_path(key)
        path.unlink(missing_ok=True)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()

    def _key(self, number: int) -> str:
        return f"{_FOLDER}/{self._run_id}/{number % _PLACES}"

    def _stored(self) -> list[Packed]:
        """What is whole of what is there, in no order."""
        found = []
        for place in range(_PLACES):
            try:
                content = self._storage.read_path(self._key(place), _sync=True)
            except Exception as error:
                # Each storage has its own way to say that there is no such thing.
                logger.debug("carbon-policy found no state at %s: %r", self._key(place), error)
                continue
            if not content:
                continue
            try:
                found.append(Packed.of_bytes(content))
            except BrokenStateError as error:
                self._warn(str(error))
        return found

    def _warn(self, what: str) -> None:
        logger.warning(
            "A saved state of run %s is broken, as of a process that was killed while it saved: %s. The one before"
            " it is taken, where there is one.",
            self._run_id,
            what,
        )
