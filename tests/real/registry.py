"""A registry with TLS and a login: the files of Debian's docker-registry, and what is asked of it."""
import base64
import gzip
import hashlib
import json
import ssl
import subprocess
import tarfile
import urllib.error
import urllib.parse
import urllib.request

PROGRAM = "docker-registry"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def make_authority(folder, name, address, days=2):
    """A CA and a certificate of it for an address: (ca, certificate, key)."""
    ca, ca_key, request, certificate, key = (folder / f"{name}-{part}.pem" for part in ("ca", "ca-key", "request", "certificate", "key"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", days, "-subj", f"/CN={name}")
    openssl("req", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={address}")
    extensions = folder / f"{name}.cnf"
    extensions.write_text(f"subjectAltName=IP:{address}\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate)
    return ca, certificate, key


def login_file(registry, user, password):
    """What docker login writes."""
    return json.dumps({"auths": {registry: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}})


class Registry:
    """`argv` runs it; `name` is HOST:PORT. What is pushed is kept in `storage`."""

    def __init__(self, folder, name, authority, storage, user="", password=""):
        self.ca, certificate, key = authority
        self.name, self.user, self.password = name, user, password
        login = ""
        if user:
            import crypt  # here, as Python 3.13 has none and only a login needs it
            passwords = folder / "htpasswd"
            passwords.write_text(f"{user}:{crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
            login = f"auth:\n  htpasswd:\n    realm: npufleet\n    path: {passwords}\n"
        config = folder / "registry.yml"
        config.write_text(
            f"version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {storage}\n  delete:\n    enabled: true\n"
            f"http:\n  addr: {name}\n  tls:\n    certificate: {certificate}\n    key: {key}\n{login}")
        self.argv = [PROGRAM, "serve", str(config)]

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
        headers = {"Accept": MANIFEST}
        if content_type:
            headers["Content-Type"] = content_type
        if self.user:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}),
                                             urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca)))
        request = urllib.request.Request(f"https://{self.name}{path}", body, headers, method=method)
        with opener.open(request, timeout=60) as answer:
            return answer.read(), answer.headers

    def has(self, repository, tag):
        try:
            return bool(self.digest(repository, tag))
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def digest(self, repository, tag):
        return self.request("GET", f"/v2/{repository}/manifests/{tag}")[1]["Docker-Content-Digest"]

    def put_blob(self, repository, kind, content):
        """Its descriptor for a manifest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = urllib.parse.urlsplit(self.request("POST", f"/v2/{repository}/blobs/uploads/")[1]["Location"])
        self.request("PUT", f"{place.path}?{place.query}&digest={digest}", content, "application/octet-stream")
        return {"mediaType": kind, "size": len(content), "digest": digest}

    def push(self, archive, repository, tag):
        """The image of an archive of docker save, with the id that it has there. The manifest comes last: a tag that is there is whole."""
        with tarfile.open(archive) as tar:
            image = json.load(tar.extractfile("manifest.json"))[0]
            layers = [self.put_blob(repository, "application/vnd.docker.image.rootfs.diff.tar.gzip",
                                    gzip.compress(tar.extractfile(layer).read(), 1, mtime=0)) for layer in image["Layers"]]
            config = self.put_blob(repository, "application/vnd.docker.container.image.v1+json", tar.extractfile(image["Config"]).read())
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        self.request("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(manifest).encode(), MANIFEST)

    def put_list(self, repository, tag, of_tag, architecture):
        """A manifest list that names one image, for one architecture."""
        manifest, headers = self.request("GET", f"/v2/{repository}/manifests/{of_tag}")
        kind = "application/vnd.docker.distribution.manifest.list.v2+json"
        document = {"schemaVersion": 2, "mediaType": kind, "manifests": [
            {"mediaType": headers["Content-Type"], "size": len(manifest), "digest": headers["Docker-Content-Digest"],
             "platform": {"architecture": architecture, "os": "linux"}}]}
        self.request("PUT", f"/v2/{repository}/manifests/{tag}", json.dumps(document).encode(), kind)
