"""Containers, Ray and the engine that die, lose a rank or hang, and the daemon under them."""
from incident import CONTAINER, DEATH_TO_COMMAND, HEAD, Incident, ON_HEAD, ON_WORKER, REBOOT_HEAD, REBOOT_WORKER, SERVE, WORKER
from scenario import Failed, NAME, until

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


def answered(fleet, seconds):
    try:
        return fleet.chat(timeout=seconds)
    except (OSError, Failed):
        return None


def hang(fleet):
    """The quick engine hangs on command; of real vLLM one rank on the worker stands still, as one does in a collective that never ends."""
    if fleet.engine == "quick":
        return engine_fault(fleet, "hang")
    return fleet.do(WORKER, "kill", "-STOP", rank_on_worker(fleet))


def rank_on_worker(fleet):
    return fleet.do(WORKER, "pgrep", "-o", "-f", "^ray::RayWorkerWrapper")


def found_out(fleet, incident, meanwhile=lambda: None):
    """By its tokens: within 30 s with the quick engine's probe, within twice the deadline with that of real vLLM."""
    incident.limits["noticed"] = 30 if fleet.engine == "quick" else 2 * 120
    try:
        meanwhile()
        incident.wait_noticed(incident.limits["noticed"])
    finally:
        if fleet.engine == "quick":
            end_fault(fleet)
    return incident.wait_recovered(), SERVE


def engine_hangs(fleet):
    """/health goes on to say 200. The probe's deadline and period are 5 s with the quick engine, 2 min and 1 min with real vLLM."""
    quick = fleet.engine == "quick"
    event = "no token comes any more" if quick else "a rank on the worker is stopped, no token comes any more"
    incident = Incident(fleet, "engine hangs", f"{event}, /health says 200").begin(lambda: hang(fleet))

    def is_a_hang():
        # A probe takes 7 s at the least to find it out (2 min 50 s with real vLLM), and then the server is stopped.
        if answered(fleet, seconds=2 if quick else 30):
            raise Failed("a completion came: it was no hang")
        health = fleet.do(HEAD, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", "http://198.18.77.11:8006/health", check=False)
        if health != "200":
            raise Failed(f"/health said {health}: it was no hang")
        incident.measured.remark = f"/health said {health} while no completion came"
    return found_out(fleet, incident, is_a_hang)


def rank_dies(fleet):
    quick = fleet.engine == "quick"
    incident = Incident(fleet, "rank dies", "one rank dies" if quick else "a rank on the worker is killed")
    incident.begin(lambda: engine_fault(fleet, "lose-rank") if quick else fleet.do(WORKER, "kill", "-KILL", rank_on_worker(fleet)))
    return found_out(fleet, incident)


def die_of(fleet, line):
    """The server writes the line, and ends by itself."""
    fleet.do(HEAD, "docker", "exec", CONTAINER, "sh", "-c",
             f'printf "%s\\n" "$1" >> "$(ls -t /var/log/npufleet/engine-*.log | head -n 1)"; echo die > {FAULT}', "sh", line)


def dies_again(fleet):
    """Twice it is started again, the third time a person must look: no restart loop. `ctl rollout retry` goes on from there."""
    line = "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB (NPU 0; 60.97 GiB total capacity)"
    incident = Incident(fleet, "server dies again", "the server dies of the same cause three times")
    for death in (1, 2, 3):
        seen = len(incident.noted("TaskLost"))
        (incident.begin if death == 1 else lambda action: action())(lambda: die_of(fleet, line))
        try:
            until(lambda: len(incident.noted("TaskLost")) > seen, 30, "its death to be noticed")
        finally:
            end_fault(fleet)
        if death < 3:
            incident.wait_recovered()
    until(lambda: fleet.rollout().get("phase") == "FAILED", 30, "the rollout to be given up")
    failure = fleet.tasks()["serve@node-a"].get("failure", {})
    if "3 times in" not in failure.get("symptom", "") or not failure.get("advice") or line not in failure.get("logTail", []):
        raise Failed(f"what it died of is not kept: {failure}")
    starts = [item for item in incident.operations() if item["task"] == "serve@node-a" and item["action"] == "APPLY"]
    if len(starts) != 2:
        raise Failed(f"started {len(starts)} times")
    incident.measured.remark = f"given up: {failure['symptom'][:120]}"
    fleet.ctl("rollout", "retry", NAME, check=0)
    return incident.wait_recovered(), SERVE


def dockerd_restarted(fleet):
    incident = Incident(fleet, "dockerd restarted", "systemctl restart docker on the worker").begin(
        lambda: fleet.do(WORKER, "systemctl", "restart", "docker"))
    return incident.wait_recovered(), REBOOT_WORKER


def dockerd_stopped(fleet):
    incident = Incident(fleet, "dockerd stopped", "systemctl stop docker on the worker").begin(
        lambda: fleet.do(WORKER, "systemctl", "stop", "docker"))
    return incident.wait_recovered(), {"docker@node-b", *REBOOT_WORKER}
