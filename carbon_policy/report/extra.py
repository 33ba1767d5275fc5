"""What draws plots is an extra of the package; where it is missing, the message says how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from carbon_policy.domain.errors import SetupError


@contextmanager
def plot_extra() -> Iterator[None]:
    """Around the import of what draws.

    Raises:
        SetupError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("matplotlib", "plotly"):
            raise
        raise SetupError(
            f"Plots need {error.name}, which is not installed: pip install 'prefect-carbon-policy[plot]'."
        ) from error
