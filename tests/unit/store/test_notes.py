"""Notes are kept by zone, and none is lost where two work out theirs at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from carbon_policy.store import History

START = datetime(2026, 11, 22, 6, tzinfo=UTC)
LATER = START + timedelta(days=1)


def test_notes_are_kept_by_zone(history: History) -> None:
    assert history.noted("DE", "blend") is None
    assert history.noted_at("DE", "blend") is None
    history.note("DE", "blend", {"ridge": 0.25}, noted_at=START)
    history.note("FR", "blend", {"ridge": 1})
    history.note("DE", "blend", {"ridge": 0.75, "levels": [0.1, 0.9]}, noted_at=LATER)
    assert history.noted("DE", "blend") == {"ridge": 0.75, "levels": [0.1, 0.9]}
    assert history.noted_at("DE", "blend") == LATER
    assert history.noted("DE", "skill") is None


def test_a_note_is_written_only_over_what_was_read(history: History) -> None:
    assert not history.note_if("DE", "blend", {"n": 1}, was={"n": 0})
    assert history.noted("DE", "blend") is None
    assert history.note_if("DE", "blend", {"n": 1}, was=None, noted_at=START)
    assert history.noted_at("DE", "blend") == START
    assert not history.note_if("DE", "blend", {"n": 2}, was=None)
    assert not history.note_if("DE", "blend", {"n": 2}, was={"n": 7})
    assert history.noted("DE", "blend") == {"n": 1}
    assert history.note_if("DE", "blend", {"n": 2, "levels": [0.1]}, was={"n": 1})
    assert history.note_if("DE", "blend", {"n": 3}, was={"levels": [0.1], "n": 2})
    assert history.noted("DE", "blend") == {"n": 3}
    assert history.noted("FR", "blend") is None
    # Nothing was begun that keeps others waiting.
    history.note("DE", "blend", {})


def test_none_who_counts_at_once_is_lost(url: str) -> None:
    def count(_: int) -> None:
        with History(url) as history:
            for _turn in range(10):
                while True:
                    was = history.noted("DE", "count")
                    if history.note_if("DE", "count", {"n": 1 if was is None else was["n"] + 1}, was=was):
                        break

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(count, range(3)))
    with History(url) as history:
        assert history.noted("DE", "count") == {"n": 30}
