#!/usr/bin/env python3
"""Double of the places that a rollout downloads from: a web server, and the hubs ModelScope, Hugging Face and Modelers.

  origin.py --directory DIR [--address 127.0.0.1] [--port 0] [--port-file FILE]

Prints its URL, and writes its port to FILE once it listens. Serves
  /PATH                                     DIR/PATH, with Range, If-Range, HEAD and ETag (the file's sha256)
  /SHA256SUMS                               sha256 of every file, as sha256sum prints it
  /api/v1/models/ORG/NAME[/repo[/files]]    ModelScope: DIR/models/ORG/NAME as one repository, any revision
  /api/models/ORG/NAME[/tree/REV]           Hugging Face: the same repository
  /ORG/NAME/resolve/REV/PATH                Hugging Face: a file of it
  /api/v1/file/ORG/NAME[/REV/media/PATH]    Modelers: a folder of the same repository (?path=), a file of it

What breaks is set on command, for the path pattern (fnmatch, the query included) and the number of answers given:
  POST   /_control/faults    {"path": "/drivers/*", "fault": "cut", "bytes": 1000, "times": 2}
  DELETE /_control/faults    everything works again
  GET    /_control/faults    what is set
  GET    /_control/requests  what was asked: method, path, range, status, bytes sent (the last 10,000)
Faults: slow (`bytes_per_second`), cut (connection closed after `bytes`), wrong (body of the right length, wrong bytes),
status (`status`: 404, 429, 500, …; `retry_after` in seconds), hang (no answer, for `seconds`), no_range (Range is ignored),
short (the file has only `bytes`), html (200 and a login page), redirect (to `location`, with the path appended), login (401
unless the request carries `Authorization: Bearer TOKEN` of `token`).
`times` defaults to 1; 0 means for ever.
"""
import argparse
import fnmatch
import hashlib
import http.server
import json
import os
import socket
import sys
import threading
import time
import urllib.parse
from email.utils import formatdate
from pathlib import Path

CHUNK = 1 << 18
FAULTS = ("slow", "cut", "wrong", "status", "hang", "no_range", "short", "html", "redirect", "login")
LFS_BYTES = 1 << 20  # Hugging Face keeps what is larger, and all weights, in LFS


class Digests:
    """sha256 and git blob ids of files, computed once for a path, size and time. Thread safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.known = {}

    def get(self, file):
        status = file.stat()
        key = (str(file), status.st_size, status.st_mtime_ns)
        with self.lock:
            if key not in self.known:
                sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % status.st_size)
                with open(file, "rb") as stream:
                    while chunk := stream.read(CHUNK):
                        sha256.update(chunk)
                        blob.update(chunk)
                self.known[key] = (sha256.hexdigest(), blob.hexdigest())
            return self.known[key]

    def sha256(self, file):
        return self.get(file)[0]

    def blob(self, file):
        return self.get(file)[1]


class Faults:
    """What is to go wrong. Thread safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rules = []

    def add(self, rule):
        if not isinstance(rule, dict) or not isinstance(rule.get("path"), str):
            raise ValueError("a fault is an object with a path")
        if rule.get("fault") not in FAULTS:
            raise ValueError(f"unknown fault {rule.get('fault')!r}")
        with self.lock:
            self.rules.append({**rule, "times": int(rule.get("times", 1))})

    def clear(self):
        with self.lock:
            self.rules.clear()

    def list(self):
        with self.lock:
            return list(self.rules)

    def take(self, target):
        """The first fault set for the target, or {}; one given for some answers only is counted down."""
        target = urllib.parse.unquote(target)
        with self.lock:
            for index, rule in enumerate(self.rules):
                if fnmatch.fnmatchcase(target, rule["path"]):
                    if rule["times"] == 1:
                        del self.rules[index]
                    elif rule["times"] > 1:
                        self.rules[index] = {**rule, "times": rule["times"] - 1}
                    return rule
        return {}


class Origin(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address, directory):
        super().__init__(address, Handler)
        self.directory = Path(directory).resolve()
        self.digests = Digests()
        self.faults = Faults()
        self.requests = []

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def files(self, root):
        """Every regular file under root, hidden and half-written ones aside, in a fixed order."""
        return [file for file in sorted(root.rglob("*"))
                if file.is_file() and not any(part.startswith(".") for part in file.relative_to(root).parts)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "npufleet-origin/1"
    server: Origin

    def log_message(self, format, *args):  # the requests are kept in memory, see /_control/requests
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self):
        self.answer(True)

    def do_HEAD(self):
        self.answer(False)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/_control/faults":
            try:
                self.server.faults.add(json.loads(body))
                self.send_json({"faults": self.server.faults.list()})
            except (ValueError, TypeError) as error:
                self.send_json({"error": str(error)}, 400)
        elif self.path.endswith("/paths-info/main"):
            self.hugging_face_paths(urllib.parse.parse_qs(body.decode()).get("paths", []))
        else:
            self.send_json({"Code": 404, "error": f"no such endpoint: POST {self.path}"}, 404)

    def do_DELETE(self):
        if self.path == "/_control/faults":
            self.server.faults.clear()
            self.send_json({"faults": []})
        else:
            self.send_json({"error": f"no such endpoint: DELETE {self.path}"}, 404)

    # Answers.

    def answer(self, with_body):
        self.with_body = with_body
        self.sent, self.status = 0, 0
        if self.path.startswith("/_control/"):
            return self.control()
        self.fault = self.server.faults.take(self.path)
        try:
            if self.fault.get("fault") == "hang":
                time.sleep(float(self.fault.get("seconds", 3600)))
                self.close_connection = True
            elif self.fault.get("fault") == "status":
                self.send_fault_status()
            elif self.fault.get("fault") == "html":
                self.send_page()
            elif self.fault.get("fault") == "redirect":
                self.send_head(302, {"Location": self.fault["location"].rstrip("/") + self.path, "Content-Length": 0})
            elif self.fault.get("fault") == "login" and self.headers.get("Authorization") != f"Bearer {self.fault['token']}":
                self.send_json({"error": "a token is needed"}, 401)
            else:
                self.route()
        finally:
            self.server.requests.append({"method": self.command, "path": self.path, "range": self.headers.get("Range"),
                                         "status": self.status, "sent": self.sent, "time": time.time(),
                                         "authorization": self.headers.get("Authorization") is not None})
            del self.server.requests[:-10000]

    def control(self):
        self.fault = {}
        if self.path == "/_control/faults":
            self.send_json({"faults": self.server.faults.list()})
        elif self.path == "/_control/requests":
            self.send_json({"requests": self.server.requests})
        else:
            self.send_json({"error": f"no such endpoint: {self.path}"}, 404)

    def send_fault_status(self):
        headers = {"Retry-After": str(self.fault["retry_after"])} if "retry_after" in self.fault else {}
        self.send_json({"error": "fault on command"}, int(self.fault.get("status", 500)), headers)

    def send_page(self):
        page = b"<!DOCTYPE html><html><body>please log in</body></html>"
        self.send_head(200, {"Content-Type": "text/html; charset=utf-8", "Content-Length": len(page)})
        if self.with_body:
            self.wfile.write(page)

    def send_json(self, document, status=200, headers=None):
        content = json.dumps(document).encode()
        self.send_head(status, {"Content-Type": "application/json", "Content-Length": len(content), **(headers or {})})
        if getattr(self, "with_body", True):
            self.wfile.write(content)
            self.sent = len(content)

    def send_head(self, status, headers):
        self.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def not_found(self, what):
        # Debian's apt 2.6 waits 30 s for a body that it has read already, when headers and body come in one read and the connection stays.
        self.send_json({"Code": 10010205001, "Success": False, "Message": f"{what} not found", "error": f"{what} not found"},
                       404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", "Connection": "close"})

    # Routes.

    def route(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = path.strip("/").split("/")
        if path == "/SHA256SUMS" and not (self.server.directory / "SHA256SUMS").exists():
            return self.send_sums()
        if parts[:3] == ["api", "v1", "models"] and len(parts) >= 5:
            return self.modelscope(parts[3:5], parts[5:], query)
        if parts[:3] == ["api", "v1", "file"] and len(parts) >= 5:
            return self.modelers(parts[3:5], parts[5:], query)
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            return self.hugging_face(parts[2:4], parts[4:], query)
        if len(parts) >= 5 and parts[2] == "resolve":
            return self.hugging_face_file(parts)
        return self.send_file(self.inside(self.server.directory, path), {})

    def inside(self, root, path):
        """root/path, or None if that is no file or would be outside of root."""
        file = (root / path.lstrip("/")).resolve()
        return file if file.is_file() and file.is_relative_to(root) else None

    def send_sums(self):
        root = self.server.directory
        text = "".join(f"{self.server.digests.sha256(file)}  {file.relative_to(root)}\n" for file in self.server.files(root))
        self.send_head(200, {"Content-Type": "text/plain", "Content-Length": len(text.encode())})
        if self.with_body:
            self.wfile.write(text.encode())

    def repository(self, name):
        root = (self.server.directory / "models" / "/".join(name)).resolve()
        return root if root.is_dir() and root.is_relative_to(self.server.directory / "models") else None

    def modelscope(self, name, rest, query):
        root = self.repository(name)
        if root is None:
            return self.not_found("model " + "/".join(name))
        if rest == ["repo", "files"]:
            entries = [self.modelscope_entry(root, file) for file in self.server.files(root)]
            under = query.get("Root", "").strip("/")
            entries = [entry for entry in entries if not under or entry["Path"].startswith(under + "/")]
            return self.send_json({"Code": 200, "Success": True, "Message": "success", "RequestId": "origin",
                                   "Data": {"Files": entries, "IsVisual": 0, "LatestCommitter": {
                                       "Id": self.commit(root), "Title": "weights", "Revision": "master"}}})
        if rest == ["repo"]:
            file = self.inside(root, query.get("FilePath", ""))
            return self.send_file(file, {"X-Linked-Etag": self.server.digests.sha256(file)} if file else {})
        if rest == ["revisions"]:
            revision = {"Revision": "master", "CreatedAt": 1700000000, "CommitId": self.commit(root)}
            return self.send_json({"Code": 200, "Success": True, "Data": {"RevisionMap": {
                "Branches": [revision], "Tags": []}}})
        return self.send_json({"Code": 200, "Success": True, "Data": {"Name": name[1], "Path": name[0], "Visibility": 5,
                                                                      "Revision": "master"}})

    def modelscope_entry(self, root, file):
        path = str(file.relative_to(root))
        return {"Path": path, "Name": file.name, "Type": "blob", "Size": file.stat().st_size, "Mode": "33188",
                "Sha256": self.server.digests.sha256(file), "Revision": self.commit(root), "InCheck": False,
                "IsLFS": self.in_lfs(file), "CommittedDate": int(file.stat().st_mtime), "CommitMessage": "weights"}

    def modelers(self, name, rest, query):
        root = self.repository(name)
        if root is None:
            return self.send_json({"code": "not_found", "msg": "no such model", "data": None}, 404)
        if len(rest) >= 3 and rest[1] == "media":
            return self.send_file(self.inside(root, "/".join(rest[2:])), {})
        folder = (root / query.get("path", "")).resolve()
        if rest or not folder.is_dir() or not folder.is_relative_to(root):
            return self.not_found(self.path)
        tree = [{"name": item.name, "path": str(item.relative_to(root)), "type": "dir" if item.is_dir() else "file",
                 **({} if item.is_dir() else {"size": item.stat().st_size, "is_lfs": self.in_lfs(item),
                                              "etag": self.server.digests.get(item)[0 if self.in_lfs(item) else 1]})}
                for item in sorted(folder.iterdir()) if not item.name.startswith(".")]
        return self.send_json({"code": "", "msg": "", "data": {"tree": tree, "last_commit": {"commit": {"commit_sha": self.commit(root)}}}})

    def in_lfs(self, file):
        return file.stat().st_size >= LFS_BYTES or file.suffix in (".safetensors", ".bin", ".pt")

    def commit(self, root):
        """A commit id: changes exactly when a file of the repository does."""
        return hashlib.sha1("".join(self.server.digests.sha256(file) + str(file.relative_to(root))
                                    for file in self.server.files(root)).encode()).hexdigest()

    def hugging_face(self, name, rest, query):
        root = self.repository(name)
        if root is None:
            return self.send_json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if rest[:1] == ["tree"]:
            return self.send_json([self.hugging_face_entry(root, file) for file in self.server.files(root)])
        siblings = [{"rfilename": str(file.relative_to(root))} for file in self.server.files(root)]
        return self.send_json({"id": "/".join(name), "modelId": "/".join(name), "sha": self.commit(root), "private": False,
                               "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def hugging_face_paths(self, paths):
        self.with_body, self.fault = True, {}
        root = self.repository(self.path.strip("/").split("/")[2:4])
        files = [self.inside(root, path) for path in paths] if root else []
        self.send_json([self.hugging_face_entry(root, file) for file in files if file])

    def hugging_face_entry(self, root, file):
        entry = {"type": "file", "path": str(file.relative_to(root)), "size": file.stat().st_size,
                 "oid": self.server.digests.blob(file)}
        if self.in_lfs(file):
            entry["lfs"] = {"oid": self.server.digests.sha256(file), "size": entry["size"], "pointerSize": 135}
        return entry

    def hugging_face_file(self, parts):
        root = self.repository(parts[:2])
        file = self.inside(root, "/".join(parts[4:])) if root else None
        if file is None:
            return self.not_found("/".join(parts))
        digest = self.server.digests.sha256(file) if self.in_lfs(file) else self.server.digests.blob(file)
        return self.send_file(file, {"X-Repo-Commit": self.commit(root), "X-Linked-Size": file.stat().st_size,
                                     "X-Linked-Etag": f'"{digest}"'}, digest)

    # One file.

    def send_file(self, file, headers, etag=None):
        if file is None:
            return self.not_found(urllib.parse.urlsplit(self.path).path)
        size = file.stat().st_size
        if self.fault.get("fault") == "short":
            size = min(size, int(self.fault.get("bytes", 0)))
        etag = f'"{etag or self.server.digests.sha256(file)}"'
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "ETag": etag,
                   "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True), **headers}
        wanted = self.wanted_range(size, etag)
        if wanted == "bad":
            return self.send_head(416, {"Content-Range": f"bytes */{size}", "Content-Length": 0})
        first, last = wanted or (0, size - 1)
        if wanted:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        self.send_head(206 if wanted else 200, {**headers, "Content-Length": last - first + 1})
        if self.with_body:
            self.send_body(file, first, last - first + 1)
        return None

    def wanted_range(self, size, etag):
        """(first, last), None for all of it, "bad" for what cannot be had. One range only, as the clients ask."""
        text = self.headers.get("Range", "")
        if not text.startswith("bytes=") or "," in text or self.fault.get("fault") == "no_range":
            return None
        if self.headers.get("If-Range", etag) != etag:
            return None
        begin, _, end = text[len("bytes="):].partition("-")
        try:
            if not begin:
                return (max(0, size - int(end)), size - 1) if int(end) and size else "bad"
            first, last = int(begin), min(int(end), size - 1) if end else size - 1
        except ValueError:
            return None
        return (first, last) if first <= last else "bad"

    def send_body(self, file, first, length):
        kind = self.fault.get("fault")
        limit = min(length, int(self.fault.get("bytes", 0))) if kind == "cut" else length
        rate = float(self.fault.get("bytes_per_second", 1024)) if kind == "slow" else 0
        with open(file, "rb") as stream:
            stream.seek(first)
            while self.sent < limit:
                chunk = stream.read(min(CHUNK if not rate else max(1, int(rate / 10)), limit - self.sent))
                if not chunk:
                    break
                self.wfile.write(bytes(byte ^ 0xFF for byte in chunk) if kind == "wrong" else chunk)
                self.sent += len(chunk)
                if rate:
                    time.sleep(len(chunk) / rate)
        if kind == "cut":
            self.close_connection = True  # once the request is written down: who sees the end may ask for it


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file")
    options = parser.parse_args()
    origin = Origin((options.address, options.port), options.directory)
    if options.port_file:
        partial = f"{options.port_file}.partial"
        Path(partial).write_text(f"{origin.server_port}\n", encoding="utf-8")
        os.replace(partial, options.port_file)
    print(f"http://{options.address}:{origin.server_port}", flush=True)
    try:
        origin.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
