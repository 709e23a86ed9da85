"""The origin double (tests/doubles/origin) beside the tests, and its faults."""
import hashlib
import json
import sys
import urllib.request

from .node import Program, doubles, until

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sha256(file):
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class Origin:
    def __init__(self, work, directory, name="origin", address="127.0.0.1"):
        self.directory = directory
        port_file = work / f"{name}.port"
        port_file.unlink(missing_ok=True)
        self.program = Program([sys.executable, doubles("origin/origin.py"), "--directory", directory, "--port-file", port_file, "--address", address],
                               work / f"{name}.log")
        self.program.wait_for(port_file.exists, 20, "the origin to listen")
        self.url = f"http://{address}:{port_file.read_text().strip()}"
        until(lambda: self.get("/_control/faults"), 10, "the origin to answer")

    def get(self, path):
        with DIRECT.open(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def fault(self, path, fault, **settings):
        body = json.dumps({"path": path, "fault": fault, **settings}).encode()
        with DIRECT.open(urllib.request.Request(f"{self.url}/_control/faults", body, method="POST"), timeout=10):
            pass

    def heal(self):
        with DIRECT.open(urllib.request.Request(f"{self.url}/_control/faults", method="DELETE"), timeout=10):
            pass

    def requests(self):
        return self.get("/_control/requests")["requests"]

    def artifact(self, path):
        """The Artifact of a file that is served."""
        return {"url": f"{self.url}/{path}", "sha256": sha256(self.directory / path)}

    def end(self):
        self.program.end()
