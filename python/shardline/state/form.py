"""Values taken out of a state by path, their form checked; all that is wrong with them is collected."""

from collections.abc import Mapping, Sequence
from typing import Any

MAX = 2**63 - 1
MISSING = object()
"""Stands for a value that is not there."""


class Form:
    """Takes values out of a state by path, and collects everything that is wrong with them."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def integer(self, where: str, value: Any, low: int = 0, high: int = MAX) -> int:
        """An int in [low, high]; an integral float (some JSON writers make them) is one, a bool is not."""
        if value is MISSING:
            self.wrong.append(f"{where} is missing")
        elif isinstance(value, bool) or not (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        ):
            self.wrong.append(f"{where} must be an integer, not {short(value)}")
        elif not low <= value <= high:
            self.wrong.append(f"{where} must be between {low} and {high}, not {short(value)}")
        else:
            return int(value)
        return low

    def boolean(self, where: str, value: Any) -> bool:
        """A bool, and nothing that is like one."""
        if value is MISSING:
            self.wrong.append(f"{where} is missing")
        elif not isinstance(value, bool):
            self.wrong.append(f"{where} must be true or false, not {short(value)}")
        else:
            return value
        return False

    def mapping(self, where: str, value: Any) -> Mapping[str, Any]:
        """A dict."""
        if value is MISSING:
            self.wrong.append(f"{where} is missing")
        elif not isinstance(value, Mapping):
            self.wrong.append(f"{where} must be a dict, not {short(value)}")
        else:
            return value
        return {}

    def sequence(self, where: str, value: Any, length: int | None = None) -> Sequence[Any] | None:
        """A list, of this length where one is given."""
        if value is MISSING:
            self.wrong.append(f"{where} is missing")
        elif not isinstance(value, (list, tuple)) or (length is not None and len(value) != length):
            expected = "a list" if length is None else f"a list of {length}"
            self.wrong.append(f"{where} must be {expected}, not {short(value)}")
        else:
            return value
        return None

    def part(self, where: str, value: Any, kinds: Mapping[str, type]) -> dict[str, Any] | None:
        """Plain values of these types by name, or None where there is nothing."""
        if value is None:
            return None
        found = self.mapping(where, value)
        for name, kind in kinds.items():
            if kind is int:
                self.integer(f"{where}.{name}", found.get(name, MISSING), 0, 2**64 - 1)
            elif not isinstance(found.get(name), (int, float) if kind is float else kind):
                self.wrong.append(f"{where}.{name} is missing, or not what it should be")
        return {name: found.get(name) for name in kinds}


def short(value: object) -> str:
    """A value for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
