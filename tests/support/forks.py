"""A forked child that runs a function."""

import os
import signal
import sys
from collections.abc import Callable


def child(function: Callable[[], object]) -> None:
    """Runs it in a forked child, under an alarm; the child's failure is this test's."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(60)
            function()
            status = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    assert not os.WIFSIGNALED(status), f"the child was killed by signal {os.WTERMSIG(status)}: it hung"
    assert os.WEXITSTATUS(status) == 0
