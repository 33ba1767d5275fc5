"""`${NAME}` in the text of a file, and the values that must therefore never be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from carbon_policy.domain.errors import InvalidInputError

MASK = "********"

_REFERENCE = re.compile(r"\$(?P<escape>\$)?\{(?:(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\})?")

# A shorter text is no secret, and would be found inside other words.
_SHORTEST_SECRET = 4


class Secrets:
    """The values that came from the environment, each with the reference that stands for it in any output.

    Args:
        environment: The variables that references are looked up in.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._references: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._references)} values)"

    def resolve(self, value: Any, where: str) -> Any:
        """A value with the references in all its strings replaced, however deep.

        `${NAME}` must be set; `${NAME:-text}` stands for `text` where it is not, or is empty; `$${` is a literal `${`.

        Args:
            value: What a file holds.
            where: The file and the path in it, for errors.

        Raises:
            InvalidInputError: A variable is not set, or a reference cannot be read.
        """
        if isinstance(value, str):
            return _REFERENCE.sub(lambda match: self._look_up(match, where), value)
        if isinstance(value, dict):
            return {key: self.resolve(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return value

    def _look_up(self, match: re.Match[str], where: str) -> str:
        if match["escape"]:
            return match[0][1:]
        name = match["name"]
        if name is None:
            raise InvalidInputError(
                f"{where}: a reference is written ${{NAME}} or ${{NAME:-default}}, and the text itself $${{."
            )
        value = self._environment.get(name)
        if match["default"] is not None and not value:
            return match["default"]
        if value is None:
            raise InvalidInputError(
                f"{where}: the environment variable {name} is not set. Set it, or write ${{{name}:-default}}."
            )
        if len(value) >= _SHORTEST_SECRET:
            self._references[value] = f"${{{name}}}"
        return value

    def mask(self, value: Any) -> Any:
        """The value as it may be shown: what came from the environment is its reference again."""
        if isinstance(value, dict):
            return {key: self.mask(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.mask(item) for item in value]
        text = shown = str(value)
        # The longest first: one secret may hold another.
        for secret in sorted(self._references, key=len, reverse=True):
            shown = shown.replace(secret, self._references[secret])
        return value if shown == text else shown
