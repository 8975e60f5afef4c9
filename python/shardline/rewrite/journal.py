"""Which pieces are done: a line of JSON for each, so that a run that was killed goes on.

The first line is a key of the arguments and the input. A journal of another key is of another run, which begins anew.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from typing import Any

from shardline.rewrite.place import Place

log = logging.getLogger("shardline")
_VERSION = 1


class Journal:
    """Open for the pieces of one run. `done`: of each piece that is complete, what was noted of it."""

    def __init__(self, place: Place, described: Iterable[str]) -> None:
        key = hashlib.blake2b(json.dumps([_VERSION, *described]).encode(), digest_size=16).hexdigest()
        path = place.work / "journal"
        self.done: dict[str, Any] = {}
        found, self.done = _read(path) if path.exists() else (None, {})
        if found != key:
            if found is not None:
                log.warning(
                    "%s: begins anew, since the arguments or the input are not those of the run before", place.out
                )
            place.clear()
            self.done = {}
        place.files.mkdir(exist_ok=True)
        # Written anew, without a line that was cut short: what follows one would be lost with it.
        lines = [json.dumps(key), *(json.dumps([piece, of]) for piece, of in self.done.items())]
        fresh = path.with_name("journal.new")
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.rename(path)
        self._file = path.open("a")

    def note(self, piece: str, of: Any) -> None:
        """The piece is complete."""
        self.done[piece] = of
        self._file.write(json.dumps([piece, of]) + "\n")
        self._file.flush()

    def forget(self, piece: str) -> None:
        """The piece is to be made again."""
        del self.done[piece]

    def close(self) -> None:
        """At the end of the run."""
        self._file.close()


def _read(path: Any) -> tuple[Any, dict[str, Any]]:
    """(key, pieces), as far as lines are complete."""
    key, done = "", {}
    for number, line in enumerate(path.read_text(errors="replace").splitlines(keepends=True)):
        try:
            found = json.loads(line)
            if not line.endswith("\n"):
                break
            if number == 0:
                key = found
            else:
                done[found[0]] = found[1]
        except (ValueError, IndexError, TypeError):
            break
    return key, done
