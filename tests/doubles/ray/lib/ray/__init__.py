"""Stand-in for Ray where there is no real one: two nodes, actors on them, and what is lost when one of them goes.

What is like Ray: gcs_server and raylet are processes of that name with the session and the node in their arguments; a raylet
holds a connection to the head; NPUs are counted, reserved by placement groups and freed with their driver; an actor is a process
on the node of its bundle, in the environment of that node's raylet; whoever calls an actor that is gone gets an error. What is
not: everything else. Used by the quick engine (tests/lab/engine/quick/vllm) and by `import ray` in the agent's verbs.
"""
import json
import os
import socket
import threading

from ray import exceptions, util, wire
from ray._private import state

__version__ = "2.60.0"

_driver = None  # the Driver that init() made


class Driver:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.address = (host, int(port))
        try:
            wire.ask(self.address, {"op": "session"})
        except OSError as error:
            raise ConnectionError(f"ray.init: failed to connect to GCS at address {address}: {error}") from error

    def nodes(self):
        return wire.ask(self.address, {"op": "cluster"})["nodes"]


def init(address="auto", **_):
    global _driver
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or wire.read_node().get("gcs", "")
        if not address:
            raise ConnectionError("Could not find any running Ray instance. Please specify the one to connect to by setting "
                                  "`--address` flag or `RAY_ADDRESS` environment variable.")
    _driver = Driver(address)
    state.driver = _driver


def is_initialized():
    return _driver is not None


def shutdown():
    global _driver
    _driver = None


def nodes():
    return [{"NodeID": node["id"], "NodeManagerAddress": node["address"], "Alive": True,
             "Resources": {"NPU": float(node["npu"])}} for node in _driver.nodes()]


def _sum(key):
    return {"NPU": float(sum(key(node) for node in _driver.nodes()))}


def cluster_resources():
    return _sum(lambda node: node["npu"])


def available_resources():
    return _sum(lambda node: node["npu"] - node["held"])


class ObjectRef:
    """A value that comes. Resolved once, by a thread of its own side."""

    def __init__(self):
        self.done = threading.Event()
        self.value = self.error = None

    def resolve(self, value=None, error=None):
        self.value, self.error = value, error
        self.done.set()


def get(refs, timeout=None):
    if isinstance(refs, ObjectRef):
        return get([refs], timeout)[0]
    for ref in refs:
        if not ref.done.wait(timeout):
            raise exceptions.GetTimeoutError("Get timed out: some object(s) not ready.")
        if ref.error is not None:
            raise ref.error
    return [ref.value for ref in refs]


def wait(refs, timeout=None, num_returns=1):
    refs[0].done.wait(timeout)
    ready = [ref for ref in refs if ref.done.is_set()]
    return ready[:num_returns], [ref for ref in refs if ref not in ready[:num_returns]]


class _Method:
    def __init__(self, actor, name):
        self.actor, self.name = actor, name

    def remote(self, *arguments):
        return self.actor._call(self.name, arguments)


class ActorHandle:
    """An actor process, over one connection to it. Its end fails what is asked and what will be."""

    def __init__(self, node, actor_class, arguments):
        self._name = actor_class.__qualname__
        self._lock = threading.Lock()
        self._pending, self._next, self._lost = {}, 0, None
        try:
            self._socket = socket.create_connection((node["address"], node["port"]), timeout=30)
        except OSError as error:
            raise exceptions.ActorDiedError(f"The actor {self._name} died before it was made: {error}") from error
        self._socket.settimeout(None)
        self._file = self._socket.makefile("rwb")
        wire.send(self._file, {"op": "actor", "module": actor_class.__module__, "class": self._name, "arguments": arguments})
        threading.Thread(target=self._read, daemon=True).start()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Method(self, name)

    def _call(self, method, arguments):
        ref = ObjectRef()
        with self._lock:
            if self._lost:
                ref.resolve(error=self._lost)
                return ref
            self._next += 1
            self._pending[self._next] = ref
            try:
                wire.send(self._file, {"id": self._next, "method": method, "arguments": list(arguments)})
            except OSError:
                pass  # the reader says what there is to say
        return ref

    def _read(self):
        try:
            for line in self._file:
                answer = json.loads(line)
                with self._lock:
                    ref = self._pending.pop(answer["id"])
                error = exceptions.RayTaskError(answer["error"]) if "error" in answer else None
                ref.resolve(answer.get("value"), error)
        except (OSError, ValueError):
            pass
        self._lose("The actor is dead because its worker process has died.")

    def _lose(self, why):
        with self._lock:
            self._lost = self._lost or exceptions.ActorDiedError(f"The actor {self._name} died unexpectedly before finishing this task. {why}")
            pending, self._pending = self._pending, {}
        for ref in pending.values():
            ref.resolve(error=self._lost)

    def _kill(self):
        self._lose("It was killed by `ray.kill`.")
        self._socket.shutdown(socket.SHUT_RDWR)


class _RemoteClass:
    def __init__(self, actor_class, group=None, bundle=0):
        self.actor_class, self.group, self.bundle = actor_class, group, bundle

    def options(self, placement_group=None, placement_group_bundle_index=0, **_):
        return _RemoteClass(self.actor_class, placement_group, placement_group_bundle_index)

    def remote(self, *arguments):
        return ActorHandle(self.group.nodes[self.bundle], self.actor_class, list(arguments))


def remote(**_):
    return _RemoteClass


def kill(actor):
    actor._kill()


class _Context:
    @staticmethod
    def get_node_id():
        return wire.read_node().get("id", "")


def get_runtime_context():
    return _Context()
