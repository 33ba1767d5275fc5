"""Budgets of grams and of money, and how much of each is used."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carbon_policy.domain.errors import InvalidInputError

NEAR = 0.8
"""From this share of a budget on the policy tightens."""


class Budget(BaseModel):
    """The most that all runs with a tag, or all runs of a team, may emit or cost in a calendar month (UTC).

    Attributes:
        tag: The Prefect tag of the runs that it counts; empty for all runs.
        gco2: Grams a month; `None` for no limit.
        cost: Money a month; `None` for no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: str = ""
    gco2: float | None = Field(default=None, ge=0)
    cost: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.gco2 is None and self.cost is None:
            raise InvalidInputError(
                f"The budget of {self.tag or 'all runs'} limits nothing; give it gco2 or cost."
            )
        return self


class BudgetUse(BaseModel):
    """A budget and what was used of it this month.

    Attributes:
        budget: The budget.
        used_gco2: Grams, realised or, where actual intensities are not known yet, preliminary.
        used_cost: Money.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget: Budget
    used_gco2: float = Field(default=0.0, ge=0)
    used_cost: float = Field(default=0.0, ge=0)
