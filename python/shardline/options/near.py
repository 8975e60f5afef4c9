"""Names that may have been meant, for errors about one that is not known."""

from collections.abc import Iterable
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, cast

from shardline.errors import ShardlineTypeError


def near(name: object, known: Iterable[object], form: str = "{!r}") -> str:
    """What to append to an error: the nearest known name, or nothing.

    >>> near("lable", ["label", "x"]), near("zzz", ["label"])
    ("; did you mean 'label'?", '')
    """
    found = get_close_matches(str(name), [one for one in known if isinstance(one, str)], 1)
    return f"; did you mean {form.format(found[0])}?" if found else ""


class NamesChecked(type):
    """Of a dataclass whose constructor says which option may be meant where one is not known."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """An instance; ShardlineTypeError for an option that there is not."""
        known = [each.name for each in fields(cast(Any, cls))]
        for name in options:
            if name not in known:
                raise ShardlineTypeError(f"{cls.__name__}() has no option {name!r}{near(name, known, '{}=')}")
        return super().__call__(*args, **options)
