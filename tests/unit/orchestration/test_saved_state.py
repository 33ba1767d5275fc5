"""Saved states: whatever a kill leaves of one, the one before it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.serializers import CompressedPickleSerializer, JSONSerializer, PickleSerializer, Serializer

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.orchestration.saved_state import BrokenStateError, Packed, SavedStates

RUN = uuid4()


def states(folder: Path, serializer: Serializer[Any] | None = None) -> SavedStates:
    """As a process that has just begun sees them."""
    return SavedStates(LocalFileSystem(basepath=str(folder)), serializer or PickleSerializer(), RUN)


def place(folder: Path, number: int) -> Path:
    return folder / "carbon-policy" / "checkpoints" / str(RUN) / str(number % 2)


@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer(), CompressedPickleSerializer()])
def test_the_last_state_comes_back(tmp_path: Path, serializer: Serializer[Any]) -> None:
    saving = states(tmp_path, serializer)
    assert saving.load() is None
    for epoch in range(5):
        saving.save({"epoch": epoch, "text": "Übergabe"})
    # Its serializer is kept with it, whatever the flow's is by then.
    assert states(tmp_path).load() == ({"epoch": 4, "text": "Übergabe"},)
    assert len(list(place(tmp_path, 0).parent.iterdir())) == 2


def test_a_state_may_be_none(tmp_path: Path) -> None:
    states(tmp_path).save(None)
    assert states(tmp_path).load() == (None,)


def test_a_process_that_never_looked_counts_on(tmp_path: Path) -> None:
    for epoch in range(3):
        states(tmp_path).save(epoch)
    assert states(tmp_path).load() == (2,)


@given(cut=st.integers(min_value=0, max_value=400))
def test_a_state_that_was_cut_short_leaves_the_one_before(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    saving = states(folder)
    for epoch in range(3):
        saving.save({"epoch": epoch})
    newest = place(folder, 3)
    whole = newest.read_bytes()
    newest.write_bytes(whole[: min(cut, len(whole) - 1)])
    again = states(folder)
    assert again.load() == ({"epoch": 1},)
    # The place of the whole one is not the next to be written to.
    again.save({"epoch": 2})
    assert place(folder, 2).exists()
    assert states(folder).load() == ({"epoch": 2},)


@given(bit=st.integers(min_value=0), content=st.binary(max_size=60))
def test_a_bit_that_flipped_is_noticed(bit: int, content: bytes) -> None:
    packed = Packed(7, {"type": "pickle"}, content)
    changed = bytearray(packed.as_bytes())
    at = bit % (len(changed) * 8)
    changed[at // 8] ^= 1 << at % 8
    try:
        read = Packed.of_bytes(bytes(changed))
    except BrokenStateError:
        return
    assert read.body == content


def test_a_state_that_cannot_be_read_leaves_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saving = states(tmp_path)
    saving.save("old")
    place(tmp_path, 2).write_bytes(Packed(2, {"type": "pickle"}, b"no pickle").as_bytes())
    assert states(tmp_path).load() == ("old",)
    assert "number 2 cannot be read" in caplog.text


def test_what_cannot_be_serialized_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    saving = states(tmp_path, JSONSerializer(object_encoder=None))
    saving.save({"epoch": 1})
    with pytest.raises(InvalidInputError, match=r"type dict cannot be saved by the 'json' serializer"):
        saving.save({"epoch": object()})
    assert saving.load() == ({"epoch": 1},)


def test_nothing_is_left_of_a_completed_run(tmp_path: Path) -> None:
    saving = states(tmp_path)
    for epoch in range(3):
        saving.save(epoch)
    saving.forget()
    assert saving.load() is None
    assert not place(tmp_path, 0).parent.exists()


class Bucket(WritableFileSystem):
    """A storage that cannot remove, as Prefect's own interface cannot."""

    things: dict[str, bytes] = {}

    def read_path(self, path: str, **_: Any) -> bytes:  # type: ignore[override]
        return self.things[path]

    def write_path(self, path: str, content: bytes, **_: Any) -> None:  # type: ignore[override]
        self.things[path] = content


def test_a_storage_that_cannot_remove_is_emptied() -> None:
    bucket = Bucket()
    saving = SavedStates(bucket, PickleSerializer(), RUN)
    saving.save("state")
    saving.forget()
    assert set(bucket.things.values()) == {b""}
    assert SavedStates(bucket, PickleSerializer(), RUN).load() is None
