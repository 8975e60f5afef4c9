"""One thing at a time done in a thread, whose error surfaces when it is waited for. The process's end waits for it."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("shardline")


class AsyncSave:
    """At most one task under way."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether it is under way still."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, task: Callable[[], object]) -> None:
        """Runs it, after `wait`."""

        def run() -> None:
            try:
                task()
            except BaseException as error:
                self._error = error
                # said at once too: a process that ends now waits for this thread, but for no error
                log.error("a checkpoint was not saved in the background: %s", error)

        # not a daemon: the interpreter waits for it before it ends
        self._thread = threading.Thread(target=run, name="shardline-checkpoint", daemon=False)
        self._thread.start()

    def wait(self) -> None:
        """Until it is done; raises what it raised, once."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        error, self._error = self._error, None
        if error is not None:
            raise error
