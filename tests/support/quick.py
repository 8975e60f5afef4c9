"""The processes of `shardline.verify`, forked from one that has imported what is slow to import: seconds less each.

All else is as in a process that is started anew, but that hash() of text is the same in all of them.
"""

import os
import sys

from support import context


def child(arguments, environ, said):
    """The process: a session of its own, and an input that does not end."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environ)
    os.dup2(os.pipe()[0], 0)
    output = os.open(said, os.O_WRONLY | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from shardline.verification.child import main

    main(*arguments)


class Quick:
    """What `processes.start` returns: as far as it is used, a `subprocess.Popen`."""

    def __init__(self, arguments, environ, said):
        assert arguments[:2] == ["-m", "shardline.verification.child"]
        said.touch()
        self._process = context("forkserver").Process(target=child, args=(arguments[2:], environ, str(said)))
        self._process.start()
        self.pid, self.stdin = self._process.pid, self

    def close(self):
        """Of its input."""

    def poll(self):
        return self._process.exitcode

    def wait(self):
        self._process.join()
        sys.stdout.flush()
        return self._process.exitcode
