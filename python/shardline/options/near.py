"""Names that may have been meant, for errors about one that is not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: object, known: Iterable[str], form: str = "{!r}") -> str:
    """What to append to an error: the nearest known name, or nothing.

    >>> near("lable", ["label", "x"]), near("zzz", ["label"])
    ("; did you mean 'label'?", '')
    """
    found = get_close_matches(str(name), [one for one in known if isinstance(one, str)], 1)
    return f"; did you mean {form.format(found[0])}?" if found else ""
