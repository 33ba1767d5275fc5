"""The greenest slices of an interruptible job: where it runs, when it rests, and whether that is worth the stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode, Slice
from carbon_policy.domain.job import FlexibilityWindow
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.policies.greenest import greenest, preferred_early
from carbon_policy.policies.load import Load, load_on
from carbon_policy.policies.needs import eligible_site, eligible_sites
from carbon_policy.policies.options import later_option, offer_of, option_at
from carbon_policy.policies.ranking import by_grams, by_grams_and_money, greener, saved_share, saves
from carbon_policy.policies.replan import kept_or_changed
from carbon_policy.policies.slices import plan_slices
from carbon_policy.policies.verdict import Verdict, at_once_on, grams_change, until_due

_NO_TIME = timedelta(0)


@dataclass(frozen=True)
class _Offer:
    """What one site has for the work that is left; `None` where the window, the hours or the horizon forbid it.

    Attributes:
        through: At once, and without a break; of a job that is not due yet, when it is due.
        sliced: At once, and in more than one slice.
        later: The greenest that begins after now, in one slice or more.
        early: Of a job that is not due yet the greenest that begins now, in one slice or more.
    """

    through: Option | None
    sliced: Option | None
    later: Option | None
    early: Option | None = None

    @property
    def may_rest(self) -> bool:
        return any((self.sliced, self.later, self.early))


def interruptible(evidence: Evidence, reference: Site) -> Verdict:
    """Choose the greenest slices of all sites for the work that is left, `1 - progress` of it.

    The job runs through at once on the reference unless something saves `minimum_saving`: another site, breaks on
    the way (each stop and restart charged its running time), or to wait for the first slice. To rest is to
    wait: a job that may not wait, having no limit on its start or its finish, runs through. A plan is done, all
    its breaks included and taken as long as an estimate says it might, `start_latency` before the latest finish.

    A job that is not due yet runs through when it is due unless something saves that, be it earlier or later; one that
    has no leave to rest is placed as one run.

    A run without a break has no `slices` in its option, and the reasons of `greenest`.

    A job with `progress` and without a `plan` is taken to be running now: to stop costs it a stop and a restart,
    and its hours and its latest start no longer matter, as it has started. A job that waits keeps the start that was
    planned for it unless a change is worth it, as in `greenest`; its slices from there on are the newest.

    Args:
        evidence: What is known; of a running job the only site is the one that it runs on.
        reference: Where the job would run at once.
    """
    fresh = _fresh(evidence, reference)
    plan = _standing_plan(evidence)
    return fresh if plan is None else kept_or_changed(evidence, plan, fresh)


def _fresh(evidence: Evidence, reference: Site) -> Verdict:
    """What would be decided had nothing been planned before."""
    spec = evidence.spec
    offers = {site.name: _offer(evidence, site, reference) for site in eligible_sites(evidence)}
    through = _best_through(evidence, [offer.through for offer in offers.values()], reference)
    later = _best(evidence, [offer.later for offer in offers.values()])
    if through is None and evidence.is_running:
        return Verdict(
            Action.RUN,
            option_at(evidence, reference, evidence.now),
            ReasonCode.HORIZON_TOO_SHORT,
            f"Goes on on {reference.name}: the outlook ends before the job would.",
        )
    if through is None and later is None:
        return greenest(evidence, reference)
    if evidence.is_early and (through is None or not any(offer.may_rest for offer in offers.values())):
        return greenest(evidence, reference)
    at_once = offers[reference.name].through or option_at(evidence, reference, evidence.at_once)
    alternatives = tuple(
        sorted(
            (
                option
                for offer in offers.values()
                for option in (offer.through, offer.sliced, offer.later, offer.early)
                if option
            ),
            key=by_grams,
        )
    )
    if through is None:
        assert later is not None  # noqa: S101  One of the two is there.
        return Verdict(
            Action.DEFER,
            later,
            ReasonCode.NOT_YET_ALLOWED,
            f"May not start now; planned for {later.start:%Y-%m-%d %H:%M} UTC on {later.site}.",
            alternatives,
        )
    sliced = _best(evidence, [offer.sliced for offer in offers.values()])
    best_now = sliced if sliced is not None and _saves(evidence, sliced, through) else through
    if evidence.is_early:
        return _before_due(evidence, list(offers.values()), best_now, at_once, alternatives)
    if later is not None and _saves(evidence, later, best_now):
        if evidence.deferrals < spec.max_deferrals:
            return Verdict(Action.DEFER, later, *_why_later(evidence, later, at_once), alternatives)
        return Verdict(
            Action.RUN,
            through,
            ReasonCode.DEFERRAL_CAP,
            f"Was deferred {evidence.deferrals} times, the most allowed; runs now on {through.site}.",
            alternatives,
        )
    if best_now.slices:
        return Verdict(
            Action.RUN,
            best_now,
            ReasonCode.SLICE_NOW,
            f"Runs now on {best_now.site} until {best_now.slices[0].finish:%H:%M} UTC, the first of"
            f" {len(best_now.slices)} slices: {grams_change(best_now, at_once)} against running through at once on"
            f" {at_once.site}.",
            alternatives,
        )
    other = _best(evidence, [sliced, later])
    return Verdict(Action.RUN, through, *_why_through(evidence, through, other, at_once), alternatives)


def _before_due(
    evidence: Evidence,
    offers: Sequence[_Offer],
    at_due: Option,
    at_once: Option,
    alternatives: tuple[Option, ...],
) -> Verdict:
    """Slices that begin early, or late, where they save enough against the best that begins when the job is due."""

    def saving(options: Sequence[Option | None]) -> Option | None:
        return _best(evidence, [option for option in options if option and _saves(evidence, option, at_due)])

    now, later = saving([offer.early for offer in offers]), saving([offer.later for offer in offers])
    why = f"no other slices save the {evidence.spec.minimum_saving:.0%} asked for"
    if evidence.deferrals >= evidence.spec.max_deferrals:
        later, why = None, f"it was deferred {evidence.deferrals} times, the most allowed"
    # Slices are cut anew from each now on, so a plan that is looked at again may look a little better or worse.
    best = preferred_early(evidence, now, later, evidence.settings.replan_margin)
    if best is None:
        return until_due(evidence, at_due, why, alternatives)
    if best.start > evidence.now:
        return Verdict(Action.DEFER, best, *_why_later(evidence, best, at_once), alternatives)
    time, slices = format_duration(evidence.at_once - evidence.now), max(1, len(best.slices))
    what = f", the first of {slices} slices" if best.slices else ""
    change = f"{grams_change(best, at_once)} against {at_once_on(evidence, at_once.site)}"
    sentence = f"Runs now on {best.site}{what}, {time} before it is due: {change}."
    return Verdict(Action.RUN, best, ReasonCode.GREENER_EARLY, sentence, alternatives)


def _why_later(evidence: Evidence, later: Option, at_once: Option) -> tuple[ReasonCode, str]:
    waits = "Stops, and rests" if evidence.is_running else "Waits"
    change = f"{grams_change(later, at_once)} against {at_once_on(evidence, at_once.site)}."
    time = format_duration(later.start - evidence.now)
    if later.slices:
        what = f"the first of {len(later.slices)} greener slices"
        return ReasonCode.GREENER_SLICES, f"{waits} {time} for {what} on {later.site}: {change}"
    return ReasonCode.GREENER_LATER, f"{waits} {time} for a greener window on {later.site}: {change}"


def _why_through(
    evidence: Evidence, through: Option, other: Option | None, at_once: Option
) -> tuple[ReasonCode, str]:
    runs = f"{'Goes on' if evidence.is_running else 'Runs now'} on {through.site}"
    if through.site != at_once.site:
        change = f"{grams_change(through, at_once)} against {at_once.site}, its longer run included"
        return ReasonCode.GREENER_SITE, f"{runs}: {change}."
    if other is None:
        why = "it has no window to rest or to wait in, or its deadline leaves no room"
        return ReasonCode.NO_ROOM_TO_WAIT, f"{runs}: {why}."
    if greener(other, through):
        share = saved_share(other, through)
        why = f"breaks or a wait would save {share:.1%}, less than the {evidence.spec.minimum_saving:.0%} asked for"
        return ReasonCode.SAVING_TOO_SMALL, f"{runs}: {why}."
    return ReasonCode.GREENEST_NOW, f"{runs}: no later start and no break in its window is greener."


def _standing_plan(evidence: Evidence) -> Option | None:
    """The greenest slices from the planned start of a job that waits, if there is such a plan and it can be kept."""
    planned = evidence.plan
    if planned is None or planned.start <= evidence.now:
        return None
    site = eligible_site(evidence, planned.site)
    if site is None:
        return None
    load, window = load_on(evidence, site), evidence.spec.window(evidence.submitted_at)
    search = _search(evidence, site, load, window)
    if search is None or not search.hours or planned.start < window.earliest_start:
        return None
    begun = evidence.progress > 0
    found = search.plan(
        planned.start,
        first_cost=evidence.spec.restart_cost if begun else _NO_TIME,
        most_slices=max(1, evidence.spec.max_deferrals - evidence.deferrals),
        latest_start=planned.start,
        starts=[(planned.start, planned.start), *search.hours],
    )
    return _option(evidence, site, load, found) if found is not None else None


@dataclass(frozen=True)
class _Search:
    """Looking for slices on one site.

    Attributes:
        plan: `plan_slices` with all that does not change from question to question.
        hours: The stretches in which a slice may begin.
    """

    plan: Callable[..., tuple[Slice, ...] | None]
    hours: list[tuple[datetime, datetime]]


def _search(evidence: Evidence, site: Site, load: Load, window: FlexibilityWindow) -> _Search | None:
    """`None` where nothing is known of the grid, or there is no leave to rest."""
    spec, now = evidence.spec, evidence.now
    series, until = evidence.outlook.get(site.zone), _leave_until(evidence, load, window)
    if series is None or until is None or until <= now:
        return None
    plan = partial(
        plan_slices,
        series,
        latest_finish=until,
        work=load.duration,
        stop_cost=spec.stop_cost,
        restart_cost=spec.restart_cost,
        shortest=spec.shortest_slice,
        shortest_rest=evidence.settings.minimum_deferral,
    )
    return _Search(plan, [(now, until)] if window.hours is None else window.hours.intervals(now, until))


def _offer(evidence: Evidence, site: Site, reference: Site) -> _Offer:
    spec, settings, now, at_once = evidence.spec, evidence.settings, evidence.now, evidence.at_once
    load, window = load_on(evidence, site), spec.window(evidence.submitted_at)
    begun, running = evidence.progress > 0, evidence.is_running
    restart = spec.restart_cost if begun and not running else _NO_TIME
    through = None
    has_room = site.free != 0 or site.name == reference.name or evidence.is_early
    takes, takes_high = restart + load.duration, restart + load.duration_high
    if running or (has_room and _may_begin(evidence, window, at_once, takes_high)):
        through = _option(evidence, site, load, (Slice(start=at_once, finish=at_once + takes),))
    search = _search(evidence, site, load, window)
    if search is None:
        return _Offer(through, None, None)
    plan, hours = search.plan, search.hours
    # Each rest is a deferral: those between the slices, and the one before the first.
    rests = spec.max_deferrals - evidence.deferrals
    sliced = later = None
    if through is not None and rests > 0:
        found = plan(
            at_once,
            first_cost=restart,
            most_slices=rests + 1,
            latest_start=at_once,
            starts=[(at_once, at_once), *hours],
        )
        sliced = _option(evidence, site, load, found) if found and len(found) > 1 else None
    stop = spec.stop_cost if running else _NO_TIME
    begins = None if begun or window.latest_start is None else window.latest_start - settings.start_latency
    found = plan(
        max(now + stop + settings.minimum_deferral, window.earliest_start),
        first_cost=spec.restart_cost if begun else _NO_TIME,
        most_slices=max(1, rests),
        latest_start=begins,
        starts=hours,
    )
    if found is not None:
        later = _option(evidence, site, load, found, stop)
    if later is not None and not later.slices and not begun:
        # Of starts that are as green as each other each job takes its own.
        spread = later_option(evidence, offer_of(evidence, site))
        later = spread if spread is not None and not greener(later, spread) else later
    early = None
    if evidence.is_early and site.free != 0 and _may_begin(evidence, window, now, load.duration_high):
        found = plan(now, most_slices=max(0, rests) + 1, latest_start=now, starts=[(now, now), *hours])
        early = _option(evidence, site, load, found) if found else None
    return _Offer(through, sliced, later, early)


def _may_begin(evidence: Evidence, window: FlexibilityWindow, start: datetime, takes: timedelta) -> bool:
    """Whether a job that waits may start at a moment, to be done after `takes` if it goes badly."""
    finish = start + takes
    if start < window.earliest_start or (window.latest_finish is not None and finish > window.latest_finish):
        return False
    if evidence.progress == 0 and window.latest_start is not None and start > window.latest_start:
        return False
    return window.hours is None or bool(window.hours.intervals(start, start))


def _leave_until(evidence: Evidence, load: Load, window: FlexibilityWindow) -> datetime | None:
    """Until when a plan may take its time, UTC, to be done in time if it goes badly; `None` without leave to wait.

    Without a latest finish it is done when it would have been, had it run through from its latest start.
    """
    if window.latest_finish is not None:
        spare = load.duration_high - load.duration + evidence.settings.start_latency
        return window.latest_finish - spare
    if window.latest_start is not None:
        return window.latest_start + load.duration - evidence.settings.start_latency
    return None


def _option(
    evidence: Evidence, site: Site, load: Load, slices: tuple[Slice, ...], stop: timedelta = _NO_TIME
) -> Option | None:
    """Running in slices on a site, after a stop now; `None` where the outlook does not reach."""
    series = evidence.outlook.get(site.zone)
    if series is None or not series.covers(evidence.now, slices[-1].finish):
        return None
    runs = [(item.start, item.finish) for item in slices]
    if stop:
        runs.append((evidence.now, evidence.now + stop))
    # What starts and stops take is drawn, and paid, as work is.
    taken = replace(load, duration=sum((finish - start for start, finish in runs), _NO_TIME))
    grams = load.drawn_kw * sum(series.integral(start, finish) for start, finish in runs)
    moved = option_at(evidence, site, slices[0].start, load) if load.transfer_kwh else None
    if moved is not None and moved.gco2 is not None:
        # Data is moved once, when the job first starts: charged as for a run without a break.
        grams += moved.gco2 - load.drawn_kw * series.integral(moved.start, moved.finish)
    return Option(
        site=site.name,
        tier=site.tier.value,
        start=slices[0].start,
        finish=slices[-1].finish,
        energy_kwh=taken.energy_kwh,
        gco2=grams,
        note=moved.note if moved is not None else "",
        cost=taken.cost(site),
        slices=slices if len(slices) > 1 else (),
    )


def _best_through(evidence: Evidence, options: Sequence[Option | None], reference: Site) -> Option | None:
    base = next((option for option in options if option and option.site == reference.name), None)
    if base is None or evidence.deferrals:
        # What has waited for a site was asked for its saving when it was deferred, and is not asked again.
        return _best(evidence, options)
    return _best(
        evidence,
        [option for option in options if option and (option is base or _saves(evidence, option, base))],
    )


def _saves(evidence: Evidence, option: Option, base: Option) -> bool:
    """Whether an option saves enough against another to be worth a change."""
    # To rest is to wait, so all that it is done later counts.
    return saves(evidence, option, base, option.finish - base.finish)


def _best(evidence: Evidence, options: Sequence[Option | None]) -> Option | None:
    """The option with the fewest grams, money weighed in; `None` where there is none."""
    return min(
        (option for option in options if option is not None), key=by_grams_and_money(evidence), default=None
    )
