"""How good the forecasts would have been on a history that is already known, beside the naive ones.

A model is fitted to the history before a cut and issues a forecast at every hour after it; each issue knows only its
own past. Three things are scored: how far the forecasts are off, whether the bands hold what they promise, and what
counts, the share of the perfect-foresight saving that a scheduler following them would keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.forecasting.bands import QUANTILES, RECENT_EVERY_H, RECENT_H, ErrorBands
from carbon_policy.forecasting.capture import Task, planned_once, replanned
from carbon_policy.forecasting.features import DAY, HORIZON_H, WEEK, Features
from carbon_policy.forecasting.forecaster import Model, fit, hindcast
from carbon_policy.forecasting.hourly import Floats, HourlyHistory, Ints
from carbon_policy.forecasting.profile_model import ProfileModel
from carbon_policy.forecasting.training import Residuals

TASKS = (Task(4, 24), Task(4, 48), Task(8, 96))
"""Jobs of hours, days to wait: what is scored where nothing else is asked for."""

OWN, PROFILE, YESTERDAY, LAST_WEEK = "own", "profile", "seasonal naive 24 h", "seasonal naive 168 h"

Progress = Callable[[str], None]

_SUBMITTED_EVERY_H = 6


@dataclass(frozen=True)
class Kept:
    """What a scheduler that follows a forecast keeps of the perfect-foresight saving.

    Attributes:
        task: The kind of job.
        once: Share of the oracle's saving, at most 1, the start fixed at submission; NaN where there is none.
        replanned: The same, looked at again every hour.
        oracle_saving: What perfect foresight saves, as a share of the intensity of starting at once.
    """

    task: Task
    once: float
    replanned: float
    oracle_saving: float


@dataclass(frozen=True)
class MethodScores:
    """One way to forecast.

    Attributes:
        method: `own` or a naive one.
        mape_by_day: Mean absolute error over the truth (0.1 is 10 %) for each day ahead; seven of them.
        mape_96h: Over the first four days.
        kept: For each task.
    """

    method: str
    mape_by_day: tuple[float, ...]
    mape_96h: float
    kept: tuple[Kept, ...]


@dataclass(frozen=True)
class BandScores:
    """The bands of our own forecasts.

    Attributes:
        promised: The share of hours that the outermost band promises to hold.
        coverage_24h: The share that it held over the first day.
        coverage_96h: Over four.
        coverage_168h: Over the week.
        pinball_96h_gco2_per_kwh: Mean pinball loss of the quantiles over four days.
    """

    promised: float
    coverage_24h: float
    coverage_96h: float
    coverage_168h: float
    pinball_96h_gco2_per_kwh: float


@dataclass(frozen=True)
class Backtest:
    """The scores of every method on the same hours.

    Attributes:
        trained_h: Hours before the cut.
        tested_h: Hours after it.
        submissions: Jobs of each task.
        methods: Our own first, then the naive ones.
        bands: Of our own; `None` where there was too little history for bands.
    """

    trained_h: int
    tested_h: int
    submissions: int
    methods: tuple[MethodScores, ...]
    bands: BandScores | None

    def method(self, name: str) -> MethodScores:
        """One of them, by its name."""
        return next(m for m in self.methods if m.method == name)


@dataclass(frozen=True)
class Issued:
    """Our own forecasts for every hour after a cut, each from its own past.

    Attributes:
        issues: Index of each issue's lead 0 in the history; shape (issues,).
        expected: g/kWh, shape (issues, 168).
        quantiles: Of every sixth issue, g/kWh, shape (issues / 6, quantiles, 168); `None` where there are no bands.
    """

    issues: Ints
    expected: Floats
    quantiles: Floats | None


def backtest(
    history: HourlyHistory,
    cut: int,
    *,
    tasks: Sequence[Task] = TASKS,
    refit_every_h: int | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Scores the hours of a history from a cut on.

    Args:
        history: Training and test.
        cut: Hours of it that belong to the training, a day or more; more than two weeks must be left.
        tasks: The jobs to keep savings for; no window longer than a week.
        refit_every_h: How often a new model is fitted inside the test, as in production; `None` is never.
        progress: Told of each step, one sentence.

    Raises:
        InvalidInputError: There is too little before or after the cut, or a window is longer than a forecast.
    """
    if cut < DAY or len(history) - cut <= 2 * HORIZON_H + DAY:
        raise InvalidInputError(
            f"A cut after {cut} of {len(history)} h leaves too little: give a day or more before it and"
            f" more than {2 * HORIZON_H + DAY} h after it."
        )
    if any(not 0 < task.job_h < task.window_h <= HORIZON_H for task in tasks):
        raise InvalidInputError(
            f"A job must be shorter than its window, and no window exceeds {HORIZON_H} h."
        )
    issued = issue(history, cut, refit_every_h=refit_every_h, progress=progress)
    return score(history, cut, issued, tasks=tasks, progress=progress)


def score(
    history: HourlyHistory,
    cut: int,
    issued: Issued,
    *,
    tasks: Sequence[Task] = TASKS,
    progress: Progress | None = None,
) -> Backtest:
    """Scores forecasts that were issued already; see `backtest`."""
    tell = progress or (lambda _: None)
    features = Features(history)
    said = {OWN: issued.expected, **naive_forecasts(features, issued.issues)}
    # The last window and its re-planning must end inside the history.
    submitted = issued.issues[
        (features.hour_of_day(issued.issues) % _SUBMITTED_EVERY_H == 0)
        & (issued.issues < len(history) - 2 * HORIZON_H)
    ]
    methods = []
    for name, forecasts in said.items():
        tell(f"Scoring {name}.")
        methods.append(_scores(name, forecasts, features, submitted, cut, tasks))
    bands = None
    if issued.quantiles is not None:
        bands = _band_scores(issued.quantiles, features.targets(issued.issues[::_SUBMITTED_EVERY_H]))
    return Backtest(cut, len(history) - cut, len(submitted), tuple(methods), bands)


def issue(
    history: HourlyHistory, cut: int, *, refit_every_h: int | None = None, progress: Progress | None = None
) -> Issued:
    """What would have been forecast; see `backtest` for the arguments."""
    features = Features(history)
    issues = np.arange(cut, len(history) - HORIZON_H)
    said = np.empty((len(issues), HORIZON_H))
    bands: list[Floats] = []
    every_h = refit_every_h or len(history)
    for first in range(0, len(issues), every_h):
        part = slice(first, first + every_h)
        known = history.first(int(issues[first]))
        model, errors = fit(Features(known))
        if progress:
            progress(f"Fitted to {len(known)} h ({model.name}).")
        said[part] = model.predict(features, issues[part])
        if errors is not None:
            banded = np.flatnonzero((issues[part] - issues[0]) % _SUBMITTED_EVERY_H == 0)
            bands.extend(_quantiles(model, errors, features, issues[part][banded], said[part][banded]))
    complete = len(bands) == len(issues[::_SUBMITTED_EVERY_H])
    return Issued(issues, said, np.array(bands) if complete else None)


def naive_forecasts(features: Features, issues: Ints) -> dict[str, Floats]:
    """What needs no training, g/kWh; each of shape (issues, 168)."""
    lag = np.arange(HORIZON_H)
    said = {
        PROFILE: ProfileModel().predict(features, issues),
        YESTERDAY: features.values[issues[:, None] - DAY + lag % DAY],
    }
    if issues[0] >= WEEK:
        said[LAST_WEEK] = features.values[issues[:, None] - WEEK + lag]
    return said


def mape(said: Floats, truth: Floats) -> tuple[tuple[float, ...], float]:
    """Mean absolute error over the truth for each day ahead, and over the first four; shapes (issues, hours)."""
    error = np.abs(said - truth) / np.maximum(truth, 1.0)
    days = tuple(float(error[:, day : day + DAY].mean()) for day in range(0, error.shape[1], DAY))
    return days, float(error[:, : 4 * DAY].mean())


def _quantiles(
    model: Model, bands: ErrorBands, features: Features, issues: Ints, said: Floats
) -> Iterator[Floats]:
    """For each issue the quantiles as a forecaster would give them at that moment."""
    past = np.arange(max(model.needed_h, issues[0] - RECENT_H), issues[-1], RECENT_EVERY_H)
    lately = hindcast(model, features, past)
    level, hours = features.level(issues), features.hour_of_day(issues)
    for row, issue in enumerate(issues):
        at = (past >= issue - RECENT_H) & (past < issue)
        unknown = past[at][:, None] + np.arange(HORIZON_H)[None, :] >= issue
        recent = Residuals(np.where(unknown, np.nan, lately.values[at]), lately.hours_of_issue[at])
        offsets = bands.band(int(hours[row]), recent)
        yield np.maximum(said[row] + offsets * level[row, 0], 0.0)


def _scores(
    name: str, forecasts: Floats, features: Features, submitted: Ints, cut: int, tasks: Sequence[Task]
) -> MethodScores:
    rows, truth = submitted - cut, features.targets(submitted)
    kept = []
    for task in tasks:
        once = planned_once(forecasts[rows], truth, task)
        again = replanned(forecasts, features.values[cut:], rows, task)
        kept.append(Kept(task, once.share, again.share, 1 - once.oracle / max(once.at_once, 1e-9)))
    return MethodScores(name, *mape(forecasts[rows], truth), tuple(kept))


def _band_scores(quantiles: Floats, truth: Floats) -> BandScores:
    inside = (truth >= quantiles[:, 0]) & (truth <= quantiles[:, -1])
    missed = truth[:, None, :] - quantiles
    levels = np.array(QUANTILES)[:, None]
    pinball = np.maximum(levels * missed, (levels - 1) * missed)[..., : 4 * DAY]
    return BandScores(
        promised=QUANTILES[-1] - QUANTILES[0],
        coverage_24h=float(inside[:, :DAY].mean()),
        coverage_96h=float(inside[:, : 4 * DAY].mean()),
        coverage_168h=float(inside.mean()),
        pinball_96h_gco2_per_kwh=float(pinball.mean()),
    )
