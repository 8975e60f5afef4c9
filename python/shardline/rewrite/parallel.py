"""Tasks on threads. What they tell is heard by the thread that called, one message after the other."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

Tell = Callable[[Any], None]
Task = Callable[[Tell], None]


class _StoppedError(Exception):
    """Another task failed, or the caller was interrupted."""


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def run_tasks(tasks: Iterable[Task], workers: int, heard: Callable[[Any], None]) -> None:
    """Runs all tasks, each given a function that tells `heard`, which runs on this thread.

    A task's error, `heard`'s or Ctrl-C ends all tasks, each the next time that it tells, and is raised when they ended.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stopped, ended = threading.Event(), object()

    def tell(message: Any) -> None:
        if stopped.is_set():
            raise _StoppedError
        messages.put(message)

    def work() -> None:
        try:
            while not stopped.is_set():
                waiting.get_nowait()(tell)
        except (queue.Empty, _StoppedError):
            pass
        except BaseException as error:
            messages.put(_Failed(error))
        finally:
            messages.put(ended)

    threads = [threading.Thread(target=work, name=f"shardline-rewrite-{i}", daemon=True) for i in range(workers)]
    for thread in threads:
        thread.start()
    left, error = len(threads), None
    try:
        while left:
            message = messages.get()
            if message is ended:
                left -= 1
            elif isinstance(message, _Failed):
                stopped.set()
                error = error or message.error
            elif error is None:
                heard(message)
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if error is not None:
        raise error
