"""The far end of a worker process: calls what it is sent until its parent closes the line or dies.

Started as `python -m simcore.sweep.child FD PARENT`: a fresh interpreter, so that no lock or thread of the
parent is inherited half way, and so that it can be killed at any moment without harm to anything else.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
from multiprocessing.connection import Connection

__all__ = ["serve"]

PR_SET_PDEATHSIG = 1
"""`prctl(2)` option: signal to get when the parent dies."""


def serve(descriptor: int, parent: int) -> None:
    """Answer calls on a connection: pickled (function, arguments) in, (succeeded, result or error) out."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    connection: Connection = Connection(descriptor)
    while True:
        try:
            function, arguments = pickle.loads(connection.recv_bytes())
            answer = (True, function(*arguments))
        except EOFError:
            return
        except Exception as error:
            answer = (False, error)
        try:
            message = pickle.dumps(answer)
        except Exception:
            message = pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__}: {answer[1]}")))
        try:
            connection.send_bytes(message)
        except OSError:
            return


def _die_with(parent: int) -> None:
    """End this process when its parent is killed, even inside compiled code."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
