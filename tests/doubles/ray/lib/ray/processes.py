"""What `ray start` starts: gcs_server on the head, raylet on each node, and the actor that a raylet starts.

  python3 processes.py --role=gcs_server --session-name=S --node-ip-address=A --gcs_server_port=P
  python3 processes.py --role=raylet --session-name=S --node_id=N --node-ip-address=A --gcs-address=A:P --npu=N
  python3 processes.py --role=actor --descriptor=FD
"""
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from ray import wire  # noqa: E402


def option(name):
    return next((item.split("=", 1)[1] for item in sys.argv if item.startswith(f"--{name}=")), "")


def spawn(name, role, arguments, **options):
    """A process whose program is called `name`, in a session of its own."""
    # sys.executable is what argv[0] says, which is no Python in a process of ours.
    return subprocess.Popen([name, os.path.abspath(__file__), f"--role={role}", *arguments],
                            executable=os.readlink("/proc/self/exe"), stdin=subprocess.DEVNULL, **options)


class GcsServer:
    def __init__(self):
        self.session_name = option("session-name")
        self.changed = threading.Condition()
        self.nodes = {}

    def run(self):
        with socket.create_server((option("node-ip-address"), int(option("gcs_server_port"))), backlog=64) as server:
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        ends = []  # what to do when this connection ends
        try:
            with connection, connection.makefile("rwb") as file:
                for line in file:
                    question = json.loads(line)
                    wire.send(file, getattr(self, question["op"])(question, ends))
        except (OSError, ValueError):
            pass
        with self.changed:
            for end in ends:
                end()
            self.changed.notify_all()

    def session(self, *_):
        return {"session": self.session_name}

    def cluster(self, *_):
        with self.changed:
            return {"nodes": list(self.nodes.values())}

    def register(self, question, ends):
        with self.changed:
            self.nodes[question["id"]] = {key: question[key] for key in ("id", "address", "port", "npu")} | {"held": 0}
            ends.append(lambda: self.nodes.pop(question["id"], None))
            self.changed.notify_all()
        return self.session()

    def reserve(self, question, ends):
        wanted = question["bundles"]
        with self.changed:
            self.changed.wait_for(lambda: sum(node["npu"] - node["held"] for node in self.nodes.values()) >= wanted)
            placed = []
            for node in sorted(self.nodes.values(), key=lambda node: node["address"] != question["first"]):
                free = min(node["npu"] - node["held"], wanted - len(placed))
                node["held"] += free
                placed += [node] * free
                ends.append(lambda node=node, free=free: node.update(held=node["held"] - free))
            return {"nodes": placed}


class Raylet:
    def run(self):
        host, port = option("gcs-address").rsplit(":", 1)
        with socket.create_server((option("node-ip-address"), 0), backlog=64) as server:
            gcs = socket.create_connection((host, int(port)), timeout=10)
            gcs.settimeout(None)
            file = gcs.makefile("rwb")
            wire.send(file, {"op": "register", "id": option("node_id"), "address": option("node-ip-address"),
                             "port": server.getsockname()[1], "npu": int(option("npu"))})
            threading.Thread(target=self.end_with_head, args=(file,), daemon=True).start()
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            while True:
                connection, _ = server.accept()
                threading.Thread(target=self.start_actor, args=(connection,), daemon=True).start()

    @staticmethod
    def end_with_head(file):
        for _ in file:
            pass
        os._exit(1)

    @staticmethod
    def start_actor(connection):
        """The actor gets the caller's connection: from then on the two are alone."""
        with connection:
            line = b""
            while not line.endswith(b"\n"):
                byte = connection.recv(1)
                if not byte:
                    return
                line += byte
            order = json.loads(line)
            descriptor = connection.fileno()
            spawn(f"ray::{order['class']}", "actor", [f"--descriptor={descriptor}", f"--order={line.decode().strip()}"],
                  pass_fds=[descriptor])


class Actor:
    def run(self):
        order = json.loads(option("order"))
        connection = socket.socket(fileno=int(option("descriptor")))
        made, failure = None, ""
        try:
            made = getattr(importlib.import_module(order["module"]), order["class"])(*order["arguments"])
        except Exception:
            failure = traceback.format_exc()
        with connection, connection.makefile("rwb") as file:
            for line in file:
                call = json.loads(line)
                answer = {"id": call["id"]}
                try:
                    if made is None:
                        raise RuntimeError(failure)
                    answer["value"] = getattr(made, call["method"])(*call["arguments"])
                except Exception as error:
                    answer["error"] = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
                wire.send(file, answer)


if __name__ == "__main__":
    try:
        {"gcs_server": GcsServer, "raylet": Raylet, "actor": Actor}[option("role")]().run()
    except (KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        sys.exit(1)
