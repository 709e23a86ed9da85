#!/usr/bin/env python3
"""Double of Huawei's object store, as far as obsutil asks it: lists and objects, only for who signs with the right keys.

  obs.py --directory DIR --access-key AK --secret-key-file FILE [--address 127.0.0.1] [--port 0] [--port-file FILE]

  GET|HEAD /BUCKET/KEY            DIR/BUCKET/KEY, with Range
  GET      /BUCKET?prefix=PREFIX  the objects below it, as XML, 1000 at most a page (&marker=)
Each request carries `Authorization: OBS AK:SIGNATURE` (HMAC-SHA1 over method, date and resource). Otherwise 403 with
InvalidAccessKeyId, SignatureDoesNotMatch or, for a date 15 minutes off, RequestTimeTooSkewed.
DIR/faults.json: {"/bucket/key": STATUS} answers that object with STATUS.
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import time
import urllib.parse
from email.utils import parsedate_to_datetime
from pathlib import Path
from xml.sax.saxutils import escape

PAGE = 1000


def signature(secret, method, date, resource):
    text = f"{method}\n\n\n{date}\n{resource}"
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def send(self, status, content=b"", headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code):
        self.send(status, f"<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>".encode(),
                  {"Content-Type": "application/xml", "x-obs-error-code": code})

    def unsigned(self, resource):
        """Why the request is refused, or ''."""
        scheme, _, rest = (self.headers.get("Authorization") or "").partition(" ")
        key, _, given = rest.partition(":")
        date = self.headers.get("Date") or ""
        if scheme != "OBS":
            return "AccessDenied"
        if key != self.server.access_key:
            return "InvalidAccessKeyId"
        if not hmac.compare_digest(given, signature(self.server.secret_key, self.command, date, resource)):
            return "SignatureDoesNotMatch"
        return "RequestTimeTooSkewed" if abs(parsedate_to_datetime(date).timestamp() - time.time()) > 900 else ""

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        resource = urllib.parse.unquote(url.path)
        if code := self.unsigned(resource):
            return self.refuse(403, code)
        root = self.server.directory
        faults = root / "faults.json"
        if faults.exists() and (status := json.loads(faults.read_text()).get(resource)):
            return self.refuse(status, "InternalError")
        bucket, _, key = resource.strip("/").partition("/")
        if not (root / bucket).is_dir():
            return self.refuse(404, "NoSuchBucket")
        if not key:
            return self.list(root / bucket, dict(urllib.parse.parse_qsl(url.query)))
        file = (root / bucket / key).resolve()
        if not file.is_file() or not file.is_relative_to(root):
            return self.refuse(404, "NoSuchKey")
        content = file.read_bytes()
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and wanted.endswith("-"):
            first = int(wanted[len("bytes="):-1])
            return self.send(206, content[first:], {"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"})
        return self.send(200, content)

    do_HEAD = do_GET

    def list(self, bucket, query):
        keys = sorted(str(file.relative_to(bucket)) for file in bucket.rglob("*") if file.is_file())
        keys = [key for key in keys if key.startswith(query.get("prefix", "")) and key > query.get("marker", "")]
        entries = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{(bucket / key).stat().st_size}</Size></Contents>" for key in keys[:PAGE])
        text = f"<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{str(len(keys) > PAGE).lower()}</IsTruncated>{entries}</ListBucketResult>"
        self.send(200, text.encode(), {"Content-Type": "application/xml"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--access-key", required=True)
    parser.add_argument("--secret-key-file", required=True)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer((options.address, options.port), Handler)
    server.daemon_threads = True
    server.directory = Path(options.directory).resolve()
    server.access_key = options.access_key
    server.secret_key = Path(options.secret_key_file).read_text(encoding="utf-8").strip()
    if options.port_file:
        partial = f"{options.port_file}.partial"
        Path(partial).write_text(f"{server.server_port}\n", encoding="utf-8")
        os.replace(partial, options.port_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
