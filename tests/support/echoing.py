"""Providers at their worst: they say back whatever they were told, credentials first."""

import base64
import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

Replies = Mapping[str, str]
"""By verb (`AUTH`, `RCPT`, `DATA`, `dot`, `connect`…) the code that is said, with everything heard behind it."""


class EchoingRelay(socketserver.ThreadingTCPServer):
    """An SMTP relay that wants AUTH; every reply after it holds the login in clear and as it came."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, replies: Replies) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.replies = replies
        self.logins = 0

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port


class _Session(socketserver.StreamRequestHandler):
    server: EchoingRelay

    def handle(self) -> None:
        self.heard: list[str] = []
        self._say("connect", "220")
        while line := self.rfile.readline():
            words = line.decode("utf-8", "replace").strip()
            verb = words.split(" ")[0].upper()
            if verb == "EHLO":
                self.wfile.write(b"250-echo.test\r\n250-SIZE 1000000\r\n250 AUTH PLAIN LOGIN\r\n")
            elif verb == "AUTH":
                self._auth(words)
            elif verb == "DATA":
                if self._say("DATA", "354").startswith("354"):
                    while self.rfile.readline() not in {b".\r\n", b""}:
                        pass
                    self._say("dot", "250")
            elif verb == "QUIT":
                self._say("QUIT", "221")
                return
            else:
                self._say(verb, "250")

    def _auth(self, words: str) -> None:
        """PLAIN and LOGIN, each with an initial response and without: a client tries several (RFC 4954, section 4)."""
        _, mechanism, *initial = words.split(" ")
        coded = initial[0] if initial else self._asked("")
        if mechanism.upper() == "PLAIN":
            user, password = base64.b64decode(coded).decode().split("\0")[1:]
        else:
            second = self._asked("Password:")
            user, password = (base64.b64decode(each).decode() for each in (coded, second))
            words = f"{words} {second}"
        self.server.logins += 1
        own = [base64.b64encode(each.encode()).decode() for each in (user, password)]
        self.heard += [words, password, user, *own, coded.rstrip("="), own[1].rstrip("=")]
        self._say("AUTH", "235")

    def _asked(self, prompt: str) -> str:
        self.wfile.write(f"334 {base64.b64encode(prompt.encode()).decode()}\r\n".encode())
        return self.rfile.readline().decode().strip()

    def _say(self, verb: str, usual: str) -> str:
        code = self.server.replies.get(verb, usual)
        dotted = {"5": "5.7.8 ", "4": "4.7.0 "}.get(code[0], "") if " " not in code else ""
        text = f"{code} {dotted}I was told: {' '.join(self.heard)}"
        with contextlib.suppress(ConnectionError):
            self.wfile.write(text.encode() + b"\r\n")
        return text


class EchoingHttp(ThreadingHTTPServer):
    """An HTTP API that refuses everything with `status` and says back headers and body, in clear and encoded.

    `form` is how: in JSON (`json`), as the error's very name (`type`), or in plain text as a gateway would (`plain`).
    """

    daemon_threads = True

    def __init__(self, status: int = 401) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.status = status
        self.form = "json"
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Request(BaseHTTPRequestHandler):
    server: EchoingHttp
    protocol_version = "HTTP/1.1"

    def _refuse(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        self.server.requests += 1
        told = [*self.headers.values(), body]
        words = " ".join([*told, *(quote(each, safe="") for each in told)])
        said = {
            "message": words,
            "Message": words,
            "type": words if self.server.form == "type" else "denied_authentication",
            "details": [{"argument_name": words, "reason": words, "help_message": words}],
        }
        is_plain = self.server.form == "plain"
        answer = words.encode() if is_plain else json.dumps(said).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/plain" if is_plain else "application/json")
        self.send_header("Content-Length", str(len(answer)))
        # What an error is called may come in a header (AWS), which may as well hold anything.
        self.send_header("x-amzn-ErrorType", words.encode("ascii", "replace").decode()[:200])
        for name in ("x-amzn-RequestId", "X-Request-Id"):
            self.send_header(name, str(self.headers.get("X-Auth-Token") or self.headers.get("Authorization")))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _refuse  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


@contextlib.contextmanager
def serving(*servers: socketserver.BaseServer) -> Iterator[None]:
    """They answer while the context lasts."""
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join(5)
