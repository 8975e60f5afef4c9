"""What the log and warnings say of a state that was loaded."""

import logging
import warnings
from collections.abc import Callable

from shardline.planning.leave_out import warn_of
from shardline.settings import Settings
from shardline.state.resume import Resumption

log = logging.getLogger("shardline")


def announce(found: Resumption, settings: Settings, left_out: Callable[[], list[tuple[int, int]]]) -> None:
    """For the caller's caller. `left_out`: gives the positions that are never delivered."""
    if found.added:
        until = "of this epoch" if settings.on_new_files == "refresh" else "(on_new_files='keep')"
        log.info(
            "%d files came since the state was saved and are left out %s: %s", len(found.added), until, found.added[:5]
        )
    log.log(logging.WARNING if found.what == "new leg" else logging.INFO, "the loaded state %s", found.sentence)
    if found.order.left_out:
        warn_of(found.order, found.epoch, found.legs, stacklevel=3)
    if found.over:
        warnings.warn(
            f"the loaded state {found.sentence}; the positions {left_out()} of its line are left out",
            RuntimeWarning,
            stacklevel=3,
        )
