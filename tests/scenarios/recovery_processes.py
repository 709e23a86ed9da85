"""Containers, Ray and the engine that die, lose a rank or hang, and the daemon under them."""
from incident import CONTAINER, DEATH_TO_COMMAND, HEAD, Incident, ON_HEAD, ON_WORKER, REBOOT_HEAD, REBOOT_WORKER, SERVE, WORKER
from scenario import Failed

FAULT = "/tmp/vllm-fault"


def killed(fleet, row, event, node, pid, expected):
    incident = Incident(fleet, row, event).begin(lambda: fleet.do(node, "kill", "-KILL", pid))
    return incident.wait_recovered(), expected


def container_pid(fleet, node):
    return fleet.do(node, "docker", "inspect", "--format", "{{.State.Pid}}", CONTAINER)


def container_killed(fleet, row, event, node, expected):
    incident, _ = killed(fleet, row, event, node, container_pid(fleet, node), expected)
    incident.limits["first"] = DEATH_TO_COMMAND
    return incident, expected


def worker_container(fleet):
    return container_killed(fleet, "worker container killed", "the worker's container is killed", WORKER, REBOOT_WORKER)


def head_container(fleet):
    return container_killed(fleet, "head container killed", "the head's container is killed", HEAD, REBOOT_HEAD)


def raylet(fleet):
    return killed(fleet, "raylet killed", "the worker's raylet is killed", WORKER, fleet.do(WORKER, "pgrep", "-x", "raylet"), ON_WORKER)


def gcs(fleet):
    return killed(fleet, "GCS killed", "Ray's GCS on the head is killed", HEAD, fleet.do(HEAD, "pgrep", "-x", "gcs_server"), ON_HEAD)


def engine(fleet):
    return killed(fleet, "engine killed", "the server's process is killed", HEAD, fleet.tokens()["serve@node-a"].split("@")[0], SERVE)


def engine_fault(fleet, word):
    fleet.do(HEAD, "docker", "exec", CONTAINER, "sh", "-c", f"echo {word} > {FAULT}")


def end_fault(fleet):
    fleet.do(HEAD, "docker", "exec", CONTAINER, "rm", "-f", FAULT, check=False)


def engine_hangs(fleet):
    """/health goes on to say 200; the probe's deadline is 5 s here, its period 5 s."""
    incident = Incident(fleet, "engine hangs", "no token comes any more, /health says 200").begin(lambda: engine_fault(fleet, "hang"))
    try:
        incident.wait_noticed(30)
        health = fleet.do(HEAD, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", "http://198.18.77.11:8006/health", check=False)
        if health != "200":
            raise Failed(f"/health said {health}: it was no hang")
        incident.measured.remark = f"/health said {health} while it was noticed"
    finally:
        end_fault(fleet)
    return incident.wait_recovered(), SERVE


def rank_dies(fleet):
    incident = Incident(fleet, "rank dies", "one rank dies, /health says 200").begin(lambda: engine_fault(fleet, "lose-rank"))
    try:
        incident.wait_noticed(30)
    finally:
        end_fault(fleet)
    return incident.wait_recovered(), SERVE


def dockerd_restarted(fleet):
    incident = Incident(fleet, "dockerd restarted", "systemctl restart docker on the worker").begin(
        lambda: fleet.do(WORKER, "systemctl", "restart", "docker"))
    return incident.wait_recovered(), REBOOT_WORKER


def dockerd_stopped(fleet):
    incident = Incident(fleet, "dockerd stopped", "systemctl stop docker on the worker").begin(
        lambda: fleet.do(WORKER, "systemctl", "stop", "docker"))
    return incident.wait_recovered(), {"docker@node-b", *REBOOT_WORKER}
