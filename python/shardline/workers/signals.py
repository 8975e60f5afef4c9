"""Signals that are meant for the job, kept away from its worker processes.

Schedulers, torchrun and Ctrl-C send a signal to every process of a job. The training process answers it, and until it
has, it needs its workers. They end when it closes their channel, or when it ends itself.
"""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

Mask = frozenset[int]
_USUAL = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2})
_OWN = frozenset(  # of what a process itself does
    {signal.SIGABRT, signal.SIGBUS, signal.SIGCHLD, signal.SIGFPE, signal.SIGILL, signal.SIGPIPE, signal.SIGSEGV}
)


def job_signals() -> Mask:
    """The signals that ask a job for something: the usual ones, and those that this process has a handler for."""
    handled = {int(one) for one in signal.valid_signals() if callable(signal.getsignal(one))}
    return frozenset(map(int, _USUAL)) | handled - _OWN


@contextmanager
def blocked(signals: Iterable[int]) -> Iterator[Mask]:
    """Holds these signals back from this thread, and from processes that it starts; gives the mask of before.

    What comes meanwhile is delivered at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # it may raise a KeyboardInterrupt of just before
        yield frozenset(map(int, before))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore(signals: Iterable[int], mask: Mask | None) -> None:
    """From now on these signals do nothing here, those that were held back included. `mask`: the one to go back to."""
    for one in signals:
        signal.signal(one, signal.SIG_IGN)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
