"""A dockerd of our own (Debian's, as the lab keeps it), and Debian's docker-registry with TLS and a login."""
import base64
import crypt
import json
import os
import shutil
import ssl
import subprocess
import tarfile
import urllib.error
import urllib.request

from .node import CACHE, Failed, Program, until

# Of the range for benchmarks (RFC 2544). Docker lets a registry on 127.0.0.0/8 have any certificate, and none.
ADDRESS = "198.18.79.5"


def cannot():
    """Why there is no Docker here, or ''."""
    if os.geteuid() != 0:
        return "only root can run dockerd"
    if not list(CACHE.glob("base-*/docker.tgz")):
        return f"no docker.tgz in {CACHE}: tests/lab/lab up makes it"
    if not shutil.which("docker-registry"):
        return "apt-get install docker-registry"
    return ""


class Address:
    """ADDRESS on the loopback interface, as long as it is needed."""

    def __enter__(self):
        done = subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], capture_output=True, text=True, check=False)
        self.ours = done.returncode == 0
        if not self.ours and "exists" not in done.stderr:
            raise Failed(f"ip address add: {done.stderr}")
        return self

    def __exit__(self, *_):
        if self.ours:
            subprocess.run(["ip", "address", "del", f"{ADDRESS}/32", "dev", "lo"], check=False)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def make_authority(folder, name):
    """A CA and a certificate of it for ADDRESS: (ca, certificate, key)."""
    ca, ca_key, request, certificate, key = (folder / f"{name}-{part}.pem" for part in ("ca", "ca-key", "request", "certificate", "key"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", "2", "-subj", f"/CN={name}")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={ADDRESS}")
    extensions = folder / f"{name}.cnf"
    extensions.write_text(f"subjectAltName=IP:{ADDRESS}\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", certificate)
    return ca, certificate, key


class Registry:
    def __init__(self, work, name, authority, user="", password=""):
        ca, certificate, key = authority
        self.ca, self.user, self.password = ca, user, password
        self.port = 5443 if user else 5444
        self.name = f"{ADDRESS}:{self.port}"
        login = ""
        if user:
            passwords = work / f"{name}.htpasswd"
            passwords.write_text(f"{user}:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
            login = f"auth:\n  htpasswd:\n    realm: roads\n    path: {passwords}\n"
        (work / f"{name}.yml").write_text(
            f"version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {work / name}\n  delete:\n    enabled: true\n"
            f"http:\n  addr: {self.name}\n  tls:\n    certificate: {certificate}\n    key: {key}\n{login}")
        self.argv = ["docker-registry", "serve", work / f"{name}.yml"]
        self.log = work / f"{name}.log"
        self.start()

    def start(self):
        self.program = Program(self.argv, self.log)
        self.program.wait_for(self.answers, 20, "the registry")

    def answers(self):
        try:
            self.request("GET", "/v2/")
            return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def request(self, method, path, body=None, content_type=""):
        """An answer of the registry, from one who is logged in: (body, headers)."""
        headers = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        if content_type:
            headers["Content-Type"] = content_type
        if self.user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca)))
        request = urllib.request.Request(f"https://{self.name}{path}", body, headers, method=method)
        with opener.open(request, timeout=10) as answer:
            return answer.read(), answer.headers

    def put_list(self, repository, tag, of_tag, architecture):
        """A manifest list that names one image, for one architecture."""
        manifest, headers = self.request("GET", f"/v2/{repository}/manifests/{of_tag}")
        kind = "application/vnd.docker.distribution.manifest.list.v2+json"
        document = {"schemaVersion": 2, "mediaType": kind, "manifests": [
            {"mediaType": headers["Content-Type"], "size": len(manifest), "digest": headers["Docker-Content-Digest"],
             "platform": {"architecture": architecture, "os": "linux"}}]}
        self.request("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(document).encode(), kind)

    def digest(self, repository, tag):
        return self.request("GET", f"/v2/{repository}/manifests/{tag}")[1]["Docker-Content-Digest"]

    def end(self):
        self.program.end()


def login_file(registry, user, password):
    """What docker login writes."""
    return json.dumps({"auths": {registry: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})


class Dockerd:
    """A daemon on the socket of a node; `authority` is the only CA that it trusts."""

    def __init__(self, work, node, authority):
        self.folder = work / "docker"
        self.bin = self.folder / "bin"
        self.bin.mkdir(parents=True)
        with tarfile.open(max(CACHE.glob("base-*/docker.tgz"))) as archive:
            for member in archive.getmembers():
                if member.isfile():
                    member.name = os.path.basename(member.name)
                    archive.extract(member, self.bin)
        self.socket = node.root / "var/run/docker.sock"
        self.environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "SSL_CERT_FILE": str(authority), "SSL_CERT_DIR": "/nowhere",
                            "DOCKER_CONFIG": str(self.folder / "config")}
        self.config = self.folder / "daemon.json"
        self.config.write_text("{}")
        self.argv = [self.bin / "dockerd", "--config-file", self.config, "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                     "--pidfile", self.folder / "pid", "-H", f"unix://{self.socket}", "--iptables=false", "--bridge=none"]
        self.start()

    def start(self):
        self.program = Program(self.argv, self.folder / "dockerd.log", self.environment)
        self.program.wait_for(lambda: self.run("version", check=False).returncode == 0, 60, "dockerd")

    def run(self, *arguments, check=True):
        done = subprocess.run([self.bin / "docker", "-H", f"unix://{self.socket}", *map(str, arguments)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, env={**os.environ, **self.environment}, check=False)
        if check and done.returncode != 0:
            raise Failed(f"docker {' '.join(map(str, arguments))}: {done.stderr}")
        return done

    def names(self):
        return set(self.run("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split())

    def id(self, name):
        return self.run("inspect", "--format", "{{.Id}}", name, check=False).stdout.strip()

    def forget(self):
        """All images away."""
        ids = self.run("images", "-aq", "--no-trunc").stdout.split()
        if ids:
            self.run("rmi", "-f", *set(ids))

    def end(self):
        self.program.end()
        for line in open("/proc/self/mounts", encoding="utf-8").read().splitlines():
            target = line.split()[1]
            if target.startswith(str(self.folder)):
                subprocess.run(["umount", target], check=False)


__all__ = ["ADDRESS", "Address", "Dockerd", "Registry", "cannot", "login_file", "make_authority", "until"]
