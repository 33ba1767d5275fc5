"""The history: what the grid's intensity was, what was forecast of it and when, and what was worked out from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries, Labels, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.store import forecasts, reading, slots, upkeep
from carbon_policy.store.forecasts import StoredForecast
from carbon_policy.store.notes import Notes
from carbon_policy.store.reading import Range, Revision
from carbon_policy.store.result import RecordResult
from carbon_policy.store.upkeep import Forgotten, ZoneHistory

_BATCH = 5000
"""Slots a transaction: other writers wait for one batch, not for years."""

_NO_QUANTILES: Mapping[float, Sequence[float]] = MappingProxyType({})


class History(Notes):
    """The history in a database, beside the ledger. Safe under several writers, in one process or many.

    Example:
        >>> with History("sqlite://") as history:
        ...     history.zones()
        []
    """

    def record(self, series: IntensitySeries, *, fetched_at: datetime) -> RecordResult:
        """Writes measured values; of a slot that is there already, only what has changed.

        Another value takes the place of the one that is there, which is kept as a revision: unless it is an
        estimate and the other was measured, or it was fetched before the other.

        Args:
            series: Measured, so without an issue time.
            fetched_at: When the source was asked; aware.

        Returns:
            How many slots were added, updated and unchanged.

        Raises:
            InvalidInputError: It is a forecast or simulated, or its slots are not whole seconds.
            SetupError: The database refused.
        """
        fetched_at = parse_moment(fetched_at)
        _refuse_simulated(series)
        if series.issued_at is not None:
            raise InvalidInputError(
                f"{series.source}'s values for {series.zone} are a forecast; keep it with record_forecast."
            )
        total = RecordResult()
        for first in range(0, len(series.values_gco2_per_kwh), _BATCH):
            batch = series
            if len(series.values_gco2_per_kwh) > _BATCH:
                last = min(first + _BATCH, len(series.values_gco2_per_kwh))
                batch = series.between(series.slot_start(first), series.slot_start(last))
            with self._writing() as connection:
                changed = slots.record(connection, batch, fetched_at)
            total = RecordResult(*(a + b for a, b in zip(total, changed, strict=True)))
        return total

    def measured(
        self,
        zone: str,
        start: datetime,
        end: datetime,
        *,
        source: str | None = None,
        labels: Labels | None = None,
        signal: SignalKind | None = None,
        bridge: timedelta = timedelta(0),
    ) -> IntensitySeries | None:
        """The measured slots that overlap `start` to `end`, of one source and one kind of number.

        It is the source whose slots reach furthest towards `end`; of several, the one that covers most.
        A series is dense: before a gap that is not bridged all slots are left out, and a finding says so.

        Args:
            zone: Which zone.
            start: From when; aware.
            end: Until when; aware.
            source: Only this one's.
            labels: Only numbers of this kind.
            signal: Only average or only marginal ones, of whatever factors and basis.
            bridge: Gaps up to so long are filled by a straight line between the slots beside them. Those slots are
                flagged as estimates, and a finding counts them. For learning from, never for accounts.

        Returns:
            `None` where nothing is known.

        Raises:
            InvalidInputError: A time without a zone.
            SetupError: The database refused.
        """
        start, end = parse_moment(start), parse_moment(end)
        with self._reading() as connection:
            candidates = slots.kept(connection, zone, source, labels, signal)
            return reading.measured(connection, candidates, start, end, bridge)

    def gaps(self, zone: str, start: datetime, end: datetime, *, source: str, labels: Labels) -> list[Range]:
        """The parts of the range of which nothing is known, in order: what a backfill has to fetch."""
        start, end = parse_moment(start), parse_moment(end)
        with self._reading() as connection:
            return reading.gaps(connection, slots.kept(connection, zone, source, labels), start, end)

    def revisions(
        self,
        zone: str,
        start: datetime,
        end: datetime,
        *,
        source: str | None = None,
        labels: Labels | None = None,
    ) -> list[Revision]:
        """The former values of the slots that overlap the range, by slot and in the order in which they came."""
        start, end = parse_moment(start), parse_moment(end)
        with self._reading() as connection:
            return reading.revisions(connection, slots.kept(connection, zone, source, labels), start, end)

    def record_forecast(
        self,
        series: IntensitySeries,
        quantiles: Mapping[float, Sequence[float]] = _NO_QUANTILES,
        *,
        fetched_at: datetime,
    ) -> bool:
        """Keeps a forecast as it was issued.

        The same issue with other values takes the place of the one that is there, and counts as a revision. Slots
        that only the former version has stay: a provider cuts what it issued at the time of asking, and what
        is kept of an issue only grows. The former quantiles stay only where both versions have the same levels.

        Args:
            series: The point forecast, with its issue time.
            quantiles: For each level between 0 and 1 one value a slot.
            fetched_at: When it was fetched; aware.

        Returns:
            Whether this issue is new.

        Raises:
            InvalidInputError: It has no issue time or is simulated, or a quantile does not fit it.
            SetupError: The database refused.
        """
        fetched_at = parse_moment(fetched_at)
        _refuse_simulated(series)
        if series.issued_at is None:
            raise InvalidInputError(
                f"{series.source}'s values for {series.zone} have no issue time, so they are no forecast;"
                " set issued_at, or keep measured values with record."
            )
        with self._writing() as connection:
            return forecasts.record(connection, series, quantiles, fetched_at)

    def latest_forecast(
        self,
        zone: str,
        now: datetime,
        *,
        sources: Sequence[str] | None = None,
        not_sources: Sequence[str] = (),
        labels: Labels | None = None,
        signal: SignalKind | None = None,
        not_older_than: timedelta,
    ) -> StoredForecast | None:
        """The forecast issued last, at or before `now`, that says something of `now`.

        Args:
            zone: Of which zone.
            now: The moment it is for; aware.
            sources: Only of these.
            not_sources: Of none of these.
            labels: Only numbers of this kind.
            signal: Only average or only marginal ones.
            not_older_than: How long before `now` it may have been issued.

        Returns:
            `None` where there is none.
        """
        with self._reading() as connection:
            return forecasts.latest(
                connection,
                zone,
                parse_moment(now),
                sources=sources,
                not_sources=not_sources,
                labels=labels,
                signal=signal,
                not_older_than=not_older_than,
            )

    def forecasts(
        self,
        zone: str,
        start: datetime,
        end: datetime,
        *,
        source: str,
        labels: Labels | None = None,
        signal: SignalKind | None = None,
        every: timedelta | None = None,
    ) -> list[StoredForecast]:
        """The source's forecasts that were issued from `start` to before `end`, in the order of their issue.

        Args:
            zone: Of which zone.
            start: From when; aware.
            end: Until when; aware.
            source: Whose.
            labels: Only numbers of this kind.
            signal: Only average or only marginal ones.
            every: Of each kind at most the first in each stretch of this length, such as each hour of the clock
                (UTC); all, if not said. The others cost next to nothing.

        Raises:
            InvalidInputError: A time without a zone, or a stretch of no length.
            SetupError: The database refused.
        """
        start, end = parse_moment(start), parse_moment(end)
        if every is not None and every <= timedelta(0):
            raise InvalidInputError(
                f"A forecast every {every} makes no sense; write a length of time, or None."
            )
        with self._reading() as connection:
            return forecasts.between(
                connection, zone, start, end, source=source, labels=labels, signal=signal, every=every
            )

    def newest(
        self,
        zone: str,
        *,
        source: str | None = None,
        labels: Labels | None = None,
        signal: SignalKind | None = None,
    ) -> datetime | None:
        """The start of the newest measured slot; one question that an index answers, however much is kept.

        Args:
            zone: Of which zone.
            source: Only this one's.
            labels: Only numbers of this kind.
            signal: Only average or only marginal ones.

        Returns:
            `None` where nothing is known.
        """
        with self._reading() as connection:
            return reading.newest(connection, zone, source, labels, signal)

    def zones(self) -> list[ZoneHistory]:
        """What is kept, by zone, source and kind of number. It counts every slot: for people, not at each turn."""
        with self._reading() as connection:
            return upkeep.overview(connection)

    def forget(self, before: datetime, *, zone: str | None = None) -> Forgotten:
        """Removes what is older, for good; notes stay.

        Args:
            before: Slots that ended by then go, with their revisions, and forecasts that were issued before; aware.
            zone: Only this one's.

        Returns:
            How much went.
        """
        before = parse_moment(before)
        with self._reading() as connection:
            candidates = slots.kept(connection, zone)
        with self._writing() as connection:
            parts = [upkeep.forget_forecasts(connection, zone, before)]
        for series in candidates:
            with self._writing() as connection:
                parts.append(upkeep.forget_slots(connection, series, before))
        return Forgotten(*map(sum, zip(*parts, strict=True)))


def _refuse_simulated(series: IntensitySeries) -> None:
    if series.simulated:
        raise InvalidInputError(
            f"{series.source}'s values for {series.zone} are made up; only what a real source says is kept."
        )
