"""Become a server that ends when the process that started it ends.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID GID PROGRAM [ARGUMENT ...]

UID and GID are numbers, or -1 to stay who we are. On Linux the kernel sends DEATH_SIGNAL to this process as soon as the
parent is gone, however it went (kill -9 included), so that nothing is left to block the next start. This is a program of its
own rather than a function between fork and exec because changing the user id clears the kernel's promise: the order below
matters, and a process with threads must not run Python between fork and exec.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def become(parent: int, death_signal: int, uid: int, gid: int, argv: list[str]) -> None:
    """Drop to `uid`:`gid`, ask for `death_signal` when `parent` dies, and turn into `argv`. Does not return."""
    libc = ctypes.CDLL(None, use_errno=True)  # loaded first: the other user may not reach Python's files
    if gid != -1:
        os.setgroups([])
        os.setgid(gid)
    if uid != -1:
        os.setuid(uid)
    if sys.platform == "linux" and libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the promise was made
        sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606 - becoming another program is what this one is for


if __name__ == "__main__":
    _parent, _signal, _uid, _gid = (int(word) for word in sys.argv[1:5])
    become(_parent, _signal, _uid, _gid, sys.argv[5:])
