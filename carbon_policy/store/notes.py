"""Notes: something small that was worked out for a zone, such as the weights of a blend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from carbon_policy.domain.times import parse_moment
from carbon_policy.store.dialects import INSERT, begin_to_change
from carbon_policy.store.history_models import NoteRow
from carbon_policy.store.opened import Opened


class Notes(Opened):
    """The part of the history that keeps them: one for each zone and key."""

    def note(self, zone: str, key: str, value: dict[str, Any], *, noted_at: datetime | None = None) -> None:
        """Keeps something small that was worked out for a zone, in place of what was there under this key.

        Args:
            zone: For which zone.
            key: What it is, such as `blend`.
            value: What JSON can hold.
            noted_at: When it was worked out; now, if not said.
        """
        at = datetime.now(UTC) if noted_at is None else parse_moment(noted_at)
        insert = INSERT[self._engine.dialect.name](NoteRow).values(
            zone=zone, key=key, value=value, noted_at=at
        )
        with self._writing() as connection:
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["zone", "key"],
                    set_={"value": insert.excluded.value, "noted_at": insert.excluded.noted_at},
                )
            )

    def note_if(
        self,
        zone: str,
        key: str,
        value: dict[str, Any],
        *,
        was: dict[str, Any] | None,
        noted_at: datetime | None = None,
    ) -> bool:
        """Notes something only where what is noted now is what the caller worked it out from.

        So that of two who read, work out and write at once, none undoes the other: the second reads again.

        Args:
            zone: For which zone.
            key: What it is.
            value: What JSON can hold.
            was: What `noted` had said; `None` where nothing was noted.
            noted_at: When it was worked out; now, if not said.

        Returns:
            Whether it was written.
        """
        at = datetime.now(UTC) if noted_at is None else parse_moment(noted_at)
        with self._writing() as connection:
            if was is None:
                new = INSERT[self._engine.dialect.name](NoteRow).values(
                    zone=zone, key=key, value=value, noted_at=at
                )
                return connection.scalar(new.on_conflict_do_nothing().returning(NoteRow.key)) is not None
            begin_to_change(connection)
            of_key = select(NoteRow.value).filter_by(zone=zone, key=key)
            # Compared here: PostgreSQL's JSON knows no equality.
            if connection.scalar(of_key.with_for_update()) != was:
                return False
            connection.execute(update(NoteRow).filter_by(zone=zone, key=key).values(value=value, noted_at=at))
            return True

    def noted(self, zone: str, key: str) -> dict[str, Any] | None:
        """What was noted of a zone under this key; `None` where nothing was."""
        with self._reading() as connection:
            return connection.scalar(select(NoteRow.value).filter_by(zone=zone, key=key))

    def noted_at(self, zone: str, key: str) -> datetime | None:
        """When it was noted; `None` where nothing was."""
        with self._reading() as connection:
            return connection.scalar(select(NoteRow.noted_at).filter_by(zone=zone, key=key))
