"""Who is let in: certificates, roles and bearer tokens, asked from outside as a stranger would."""
import json
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from scenario import NAME

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def bytes_got(address, port, certificate=None):
    """What a client with this certificate (ca, certificate, key), or with none, gets out of a gRPC port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    try:
        with socket.create_connection((address, port), timeout=5) as plain, context.wrap_socket(plain) as secured:
            secured.sendall(HTTP2_PREFACE)
            return secured.recv(100)
    except (ssl.SSLError, ConnectionError):
        return b""


def identity(fleet, role):
    folder = Path(tempfile.mkdtemp(dir=fleet.state)) / role
    subprocess.run([fleet.build / "bin/npufleet-controller", "identity", "create", "--config", fleet.state / "etc/controller.yaml", "--role", role,
                    "--name", f"test-{role}", "--out", folder, "--bearer"], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return folder


def get(url, ca, bearer=""):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
    context = ssl.create_default_context(cafile=ca)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def who_is_let_in(fleet, checks):
    status = json.loads(fleet.fleet("status", "--json"))
    controller, agent = status["address"], status["nodes"]["node-a"]
    admin, viewer = fleet.state / "etc/ctl", identity(fleet, "viewer")
    stranger = LocalStranger(fleet)
    checks.that("a client without a certificate gets no byte of the controller", bytes_got(controller, 7600) == b"", "it answered")
    checks.that("a client with a foreign certificate gets no byte of the controller", bytes_got(controller, 7600, stranger.folder) == b"", "it answered")
    checks.that("a client with ours is answered", bytes_got(controller, 7600, admin) != b"", "it was not")
    checks.that("a client without a certificate gets no byte of an agent", bytes_got(agent, 7602) == b"", "it answered")
    denied = subprocess.run([fleet.build / "bin/ctl", "--config", viewer / "config.yaml", "rollout", "pause", NAME], stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    said = denied.stdout + denied.stderr
    checks.that("a viewer may not change a rollout", denied.returncode == 1 and "viewer" in said, f"exit {denied.returncode}: {said}", said.strip()[:80])
    seen = subprocess.run([fleet.build / "bin/ctl", "--config", viewer / "config.yaml", "node", "list"], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    checks.that("a viewer may look", seen.returncode == 0, f"exit {seen.returncode}")
    rest_view(checks, f"https://{controller}:7601", admin / "ca.pem", (viewer / "bearer").read_text(encoding="utf-8").strip())


class LocalStranger:
    """A fleet's identity that is not this fleet's."""

    def __init__(self, fleet):
        directory = Path(tempfile.mkdtemp(dir=fleet.state))
        subprocess.run([fleet.build / "bin/npufleet-controller", "init", "--address", "127.0.0.1", "--state-directory", directory / "state",
                        "--config-directory", directory / "etc"], check=True, stdin=subprocess.DEVNULL, capture_output=True)
        self.folder = directory / "etc/ctl"


def rest_view(checks, url, ca, bearer):
    status, answer = get(f"{url}/api/v1/rollouts", ca, bearer)
    checks.that("the REST view lists the rollout", status == 200 and NAME in json.dumps(answer), f"{status}: {answer}")
    status, answer = get(f"{url}/api/v1/rollouts", ca)
    checks.that("the REST view wants a bearer token", status == 401, f"{status}: {answer}")
    status, answer = get(f"{url}/api/v1/nothing", ca, bearer)
    checks.that("an unknown path gets an error in JSON", status == 404 and isinstance(answer, dict), f"{status}: {answer}")
    status, answer = get(f"{url}/readyz", ca)
    checks.that("it is ready", status == 200, f"{status}: {answer}")
