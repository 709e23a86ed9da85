"""The origin of the lab: tests/doubles/origin/origin.py on the bridge's own address."""
import json
import os
import signal
import urllib.error
import urllib.request

from . import layout
from .layout import LabError
from .shell import Daemon, wait_until

PROGRAM = layout.DOUBLES / "origin/origin.py"


def daemon():
    return Daemon(layout.STATE, "origin")


def serve():
    """The background process: holds its lock across the exec."""
    os.set_inheritable(daemon().hold(), True)
    os.execv(PROGRAM, [str(PROGRAM), "--directory", str(layout.ORIGIN), "--address", layout.HOST_ADDRESS, "--port",
                       str(layout.ORIGIN_PORT)])


def up():
    if not daemon().pid():
        daemon().start([layout.LAB / "lab", "__origin"])
    wait_until(answers, 15, f"the origin to answer (see {daemon().log})")


def down():
    pid = daemon().pid()
    if pid:
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not daemon().pid(), 10, "the origin to end")


def answers():
    try:
        request("GET", "/_control/faults")
        return True
    except LabError:
        return False


def request(method, path, document=None):
    """One request to the origin's control endpoint; its JSON answer."""
    body = json.dumps(document).encode() if document is not None else None
    asked = urllib.request.Request(layout.ORIGIN_URL + path, data=body, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise LabError(f"the origin says {error.code}: {error.read().decode(errors='replace')}") from error
    except (OSError, ValueError) as error:
        raise LabError(f"the origin at {layout.ORIGIN_URL} does not answer: {error}") from error
