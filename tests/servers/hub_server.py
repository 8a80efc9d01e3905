"""A stand-in for the Hugging Face Hub over real HTTP, on the loopback, in memory.

It keeps repositories of datasets and of models with commits, branches and large files, and answers the calls that
creating, uploading, loading and streaming need. Every request is recorded, so that a test can say what was sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_REGULAR = (".md", ".json", ".yaml", ".gitattributes")  # what git keeps itself; the rest is large


@dataclass
class File:
    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def blob_id(self) -> str:
        kept = f"pointer {self.sha256}".encode() if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(kept) + kept).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id


@dataclass
class Repository:
    name: str
    private: bool
    kind: str = "dataset"  # or model
    commits: dict[str, dict[str, File]] = field(default_factory=dict)  # oldest first
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)

    def url(self, hub: str) -> str:
        return f"{hub}/datasets/{self.name}" if self.kind == "dataset" else f"{hub}/{self.name}"

    def commit(self, branch: str, files: dict[str, File], message: str) -> str:
        content = sorted((path, file.etag) for path, file in files.items())
        digest_input = f"{self.name} {len(self.commits)} {message} {content}"
        oid = hashlib.sha1(digest_input.encode()).hexdigest()
        self.commits[oid] = files
        self.messages.append(message)
        self.branches[branch] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Request:
    method: str
    path: str
    size: int
    range: str | None = None
    authorised: bool = False  # whether a token came with it


class Answer(Exception):
    """Ends the handling of a request with a status; `code` is the Hub's name of the error."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Hub:
    """The state, shared by all connections. users: name by token; no name means that it may only read."""

    def __init__(self, users: dict[str, str | None]) -> None:
        self.users = users
        self.lock = threading.Lock()
        self.url = self.storage_url = ""
        self.reset()

    def reset(self) -> None:
        """Remove everything but the users."""
        self.repositories: dict[str, Repository] = {}
        self.large_files: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.fail_commits_with: int | None = None  # a status, for tests of errors
        self.private_by_default = False  # as an organisation may set it
        self.cut_downloads_after: int | None = None  # bytes, after which the connection breaks

    def files(self, repository: str, branch: str = "main") -> dict[str, bytes]:
        """Return what a branch holds, without the file that every repository starts with."""
        found = self.repositories[repository]
        files = found.commits[found.branches[branch]]
        return {path: file.content for path, file in files.items() if path != ".gitattributes"}

    def sent(self, method: str, pattern: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and re.search(pattern, r.path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: pytest's output is for failures."""

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._read_chunks()
        path = unquote(parts.path)
        with self.hub.lock:
            headers = self.headers
            request = Request(
                self.command, path, len(self.body), headers.get("Range"), "Authorization" in headers
            )
            self.hub.requests.append(request)
            try:
                self._route(path)
            except Answer as answer:
                headers = {"X-Error-Code": answer.code} if answer.code else {}
                if answer.message:
                    headers["X-Error-Message"] = answer.message
                self._json({"error": answer.message}, answer.status, headers)

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _route(self, path: str) -> None:
        routes = (
            ("GET", r"/api/whoami-v2", self._whoami),
            ("POST", r"/api/repos/create", self._create),
            ("POST", r"/api/validate-yaml", self._validate_yaml),
            ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/preupload/([^/]+)", self._preupload),
            ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/commit/([^/]+)", self._commit),
            ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/branch/([^/]+)", self._branch),
            ("POST", r"/api/(?:datasets|models)/([^/]+/[^/]+)/paths-info/([^/]+)", self._paths_info),
            ("GET", r"/api/(?:datasets|models)/([^/]+/[^/]+)/tree/([^/]+)/?(.*)", self._tree),
            ("GET", r"/api/(?:datasets|models)/([^/]+/[^/]+)/refs", self._refs),
            ("GET", r"/api/(?:datasets|models)/([^/]+/[^/]+)/revision/([^/]+)", self._info),
            ("GET", r"/api/(?:datasets|models)/([^/]+/[^/]+)", self._info),
            ("POST", r"/(?:datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", self._large_batch),
            ("POST", r"/storage/verify", self._large_verify),
            ("PUT", r"/storage/([0-9a-f]{64})", self._large_put),
            ("GET", r"/storage/([0-9a-f]{64})", self._large_get),
            ("GET", r"/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._download),
        )
        method = "GET" if self.command == "HEAD" else self.command
        self.kind = "dataset" if path.startswith(("/datasets/", "/api/datasets/")) else "model"
        for wanted, pattern, handle in routes:
            match = re.fullmatch(pattern, path)
            if match and wanted == method:
                handle(*match.groups())  # type: ignore[operator]
                return
        raise Answer(404, "EntryNotFound", f"no such call: {self.command} {path}")

    # --- who asks, and for what ---

    def _user(self, write: bool = False) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in self.hub.users:
            raise Answer(401, "", "Invalid credentials in Authorization header")
        user = self.hub.users.get(token)
        if write and user is None:
            raise Answer(403 if token else 401, "", "You need a token with write access")
        return user

    def _repository(self, name: str, write: bool = False) -> Repository:
        user = self._user(write)
        found = self.hub.repositories.get(name)
        if found is None or found.kind != self.kind or (found.private and user != name.split("/")[0]):
            raise Answer(404 if user else 401, "RepoNotFound", "Repository not found")
        return found

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, File]]:
        found = self._repository(name)
        oid = found.resolve(revision)
        if oid is None:
            raise Answer(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return oid, found.commits[oid]

    # --- answers ---

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            cut = self.hub.cut_downloads_after
            if cut is not None and len(body) > cut:
                body, self.close_connection = body[:cut], True
            self.wfile.write(body)

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(
            status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _content(self, content: bytes, headers: dict[str, str]) -> None:
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **headers}
        if span is None:
            self._send(200, content, headers)
            return
        start, stop = int(span[1]), min(int(span[2] or len(content)), len(content) - 1) + 1
        if start >= len(content):
            raise Answer(416)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self._send(206, content[start:stop], headers)

    # --- repositories ---

    def _whoami(self) -> None:
        user = self._user()
        if user is None:
            raise Answer(401, "", "Invalid credentials in Authorization header")
        self._json({"type": "user", "name": user, "orgs": [], "auth": {}})

    def _create(self) -> None:
        wanted = json.loads(self.body)
        user = self._user(write=True)
        kind = wanted.get("type") or "model"
        owner = wanted.get("organization") or user
        if owner != user:
            raise Answer(403, "", f"You don't have the rights to create a {kind} under {owner}")
        name = f"{owner}/{wanted['name']}"
        url = f"{self.hub.url}/datasets/{name}" if kind == "dataset" else f"{self.hub.url}/{name}"
        if name in self.hub.repositories:
            self._json({"error": f"You already created this {kind} repo", "url": url}, 409)
            return
        default = "private" if self.hub.private_by_default else "public"
        made = Repository(name, wanted.get("visibility", default) == "private", kind)
        made.commit("main", {".gitattributes": File(b"*.parquet filter=lfs\n", False)}, "initial commit")
        self.hub.repositories[name] = made
        self._json({"url": url, "name": name, "id": name})

    def _info(self, name: str, revision: str = "main") -> None:
        oid, files = self._files(name, revision)
        private = self.hub.repositories[name].private
        siblings = [{"rfilename": path} for path in sorted(files)]
        self._json(
            {"id": name, "_id": name, "sha": oid, "private": private, "siblings": siblings, "tags": []}
        )

    def _refs(self, name: str) -> None:
        branches = self._repository(name).branches.items()
        self._json(
            {
                "branches": [
                    {"name": b, "ref": f"refs/heads/{b}", "targetCommit": oid} for b, oid in branches
                ],
                "converts": [],
                "tags": [],
            }
        )

    def _branch(self, name: str, branch: str) -> None:
        found = self._repository(name, write=True)
        if branch in found.branches:
            raise Answer(409, "", f"Reference already exists: refs/heads/{branch}")
        found.branches[branch] = found.branches["main"]
        self._json({})

    def _tree(self, name: str, revision: str, folder: str) -> None:
        _, files = self._files(name, revision)
        under = {
            path: file for path, file in sorted(files.items()) if not folder or path.startswith(f"{folder}/")
        }
        if folder and not under:
            raise Answer(404, "EntryNotFound", f"{folder} does not exist")
        start = len(folder) + 1 if folder else 0
        entries: dict[str, dict[str, Any]] = {}
        recursive = self.query.get("recursive", [""])[0].lower() in ("true", "1")
        for path, file in under.items():
            parents = path[start:].split("/")[:-1]
            for depth in range(1, len(parents) + 1 if recursive else min(len(parents), 1) + 1):
                parent = path[:start] + "/".join(parents[:depth])
                entries[parent] = {"type": "directory", "path": parent, "oid": "0" * 40, "size": 0}
            if recursive or not parents:
                entries[path] = _entry(path, file)
        # Pages of ten, so that a client that reads only the first one is found out.
        first = int(self.query.get("cursor", ["0"])[0])
        page = list(entries.values())[first : first + 10]
        headers = {}
        if first + 10 < len(entries):
            query = "&".join(f"{key}={values[0]}" for key, values in self.query.items() if key != "cursor")
            path = self.path.partition("?")[0]
            headers["Link"] = f'<{self.hub.url}{path}?{query}&cursor={first + 10}>; rel="next"'
        self._json(page, headers=headers)

    def _paths_info(self, name: str, revision: str) -> None:
        _, files = self._files(name, revision)
        if "json" in (self.headers.get("Content-Type") or ""):
            paths = json.loads(self.body)["paths"]
        else:
            paths = parse_qs(self.body.decode())["paths"]
        found = []
        for path in [paths] if isinstance(paths, str) else paths:
            if path in files:
                found.append(_entry(path, files[path]))
            elif any(other.startswith(f"{path}/") for other in files):
                found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
        self._json(found)

    # --- uploading ---

    def _validate_yaml(self) -> None:
        content = json.loads(self.body)["content"]
        license_line = re.search(r"^license: (.*)$", content, flags=re.MULTILINE)
        if license_line and license_line[1] == "no-such-license":
            errors = [{"message": '"license" must be one of …'}]
            self._json({"errors": errors, "warnings": []}, 400)
            return
        self._json({"errors": [], "warnings": []})

    def _preupload(self, name: str, revision: str) -> None:
        self._repository(name, write=True)
        _, files = self._files(name, revision)
        answer = []
        for wanted in json.loads(self.body)["files"]:
            path = wanted["path"]
            entry = {"path": path, "shouldIgnore": False}
            entry["uploadMode"] = "regular" if path.endswith(_REGULAR) else "lfs"
            if path in files:
                entry["oid"] = files[path].etag
            answer.append(entry)
        self._json({"files": answer})

    def _large_batch(self, name: str) -> None:
        self._repository(name, write=True)
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.large_files:
                entry["actions"] = {
                    "upload": {"href": f"{self.hub.storage_url}/storage/{wanted['oid']}"},
                    "verify": {"href": f"{self.hub.url}/storage/verify"},
                }
            objects.append(entry)
        self._json({"transfer": "basic", "objects": objects})

    def _large_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Answer(400, "", "the content is not what its name says")
        self.hub.large_files[oid] = self.body
        self._json({})

    def _large_verify(self) -> None:
        self._user(write=True)
        wanted = json.loads(self.body)
        if len(self.hub.large_files.get(wanted["oid"], b"")) != wanted["size"]:
            raise Answer(400, "", "the content did not arrive")
        self._json({})

    def _large_get(self, oid: str) -> None:
        self._content(self.hub.large_files[oid], {"ETag": f'"{oid}"'})

    def _commit(self, name: str, branch: str) -> None:
        found = self._repository(name, write=True)
        if self.hub.fail_commits_with is not None:
            raise Answer(self.hub.fail_commits_with, "", "failed by the test")
        lines = [json.loads(line) for line in self.body.splitlines() if line]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, found.branches[branch]):
            raise Answer(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(found.commits[found.branches[branch]])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), large=False)
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.large_files:
                    raise Answer(400, "", f"{value['path']} was not uploaded")
                files[value["path"]] = File(self.hub.large_files[value["oid"]], large=True)
            elif line["key"] == "deletedFile" and files.pop(value["path"], None) is None:
                raise Answer(404, "EntryNotFound", f"{value['path']}: A file with this name doesn't exist")
        oid = found.commit(branch, files, header["summary"])
        self._json(
            {"success": True, "commitOid": oid, "commitUrl": f"{found.url(self.hub.url)}/commit/{oid}"}
        )

    # --- reading ---

    def _download(self, name: str, revision: str, path: str) -> None:
        oid, files = self._files(name, revision)
        if path not in files:
            raise Answer(404, "EntryNotFound", f"{path} does not exist")
        file = files[path]
        headers = {"X-Repo-Commit": oid, "ETag": f'"{file.etag}"'}
        if not file.large:
            self._content(file.content, headers)
            return
        # Another host name: a client keeps the headers of this answer only if the redirect leaves the Hub.
        headers |= {
            "X-Linked-Etag": f'"{file.sha256}"',
            "X-Linked-Size": str(len(file.content)),
            "Location": f"{self.hub.storage_url}/storage/{file.sha256}",
        }
        self._send(302, b"", headers)


def _entry(path: str, file: File) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": file.blob_id, "size": len(file.content)}
    if file.large:
        entry["lfs"] = {"oid": file.sha256, "size": len(file.content), "pointerSize": 130}
    return entry


@contextmanager
def running_hub(users: dict[str, str | None]) -> Iterator[Hub]:
    """Run a Hub on a free port of the loopback while the context lasts."""
    hub = Hub(users)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    port = server.server_address[1]
    hub.url, hub.storage_url = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
