"""A ClickHouse HTTP endpoint for development and tests: a thin front around the real engine.

The engine is chDB, ClickHouse's own SQL engine as a library, of the same code and version numbers as
the server; tables, parts, deduplication and SQL are therefore real and stay on disk. This file adds
only what the server's HTTP interface adds: the query in the URL or in the body, INSERT data in any
format, settings and parameters as URL arguments, LZ4 blocks with `decompress=1`, error codes and
`/ping`. It is not a product: no users (credentials are accepted and ignored), no TLS, no sessions,
no replication, no external tables, and a result is complete before its first byte is sent.

    python clickhouse.py --data DIR --port 28123
"""

import argparse
import itertools
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import chdb  # noqa: F401  (loads the engine)
from chdb import _chdb

from wire import QueryError, form_fields, split_insert, unpack_blocks

# URL arguments of the HTTP interface that are not settings of the query.
RESERVED = frozenset(
    "query database default_format compress decompress query_id user password quota_key role session_id"
    " session_timeout session_check close_session stacktrace buffer_size wait_end_of_query"
    " client_protocol_version".split()
)
# HTTP status by exception code, as the server answers; every other code is 500.
STATUS = {code: 400 for code in (6, 26, 27, 36, 38, 41, 43, 44, 53, 62, 69, 70, 72, 427)}
STATUS |= {code: 404 for code in (46, 47, 50, 56, 60, 73, 81, 115, 152)}
STATUS |= {48: 501, 159: 408, 164: 403, 497: 403}


@dataclass
class Request:
    """One query, however it came in."""

    query: bytes = b""
    database: str = ""
    format: str = "TabSeparated"
    settings: dict = field(default_factory=dict)
    readonly: bool = False


@dataclass
class Answer:
    body: bytes = b""
    read_rows: int = 0
    written_rows: int = 0
    written_bytes: int = 0


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Engine:
    """The engine on one data directory. Each request has a connection of its own: connections carry
    the current database and settings, take 0.2 ms to open, and run beside each other."""

    def __init__(self, data: str):
        self.data = data
        self.root = _chdb.connect(data)  # the engine lives as long as one connection does
        _chdb.set_signal_handlers_enabled(False)
        self.version = bytes(self.root.query("SELECT version()", "TSVRaw").bytes()).decode().strip()

    def run(self, request: Request) -> Answer:
        connection = _chdb.connect(self.data)
        try:
            self._prepare(connection, request)
            insert = split_insert(request.query)
            if insert:
                return self._insert(connection, *insert)
            return self._query(connection, request)
        except RuntimeError as error:
            raise QueryError.from_engine(error) from None
        finally:
            connection.close()

    def _prepare(self, connection, request: Request):
        if not request.query.strip():
            raise QueryError.of(62, "SYNTAX_ERROR", "Empty query")
        if request.database:
            connection.query("USE `" + request.database.replace("`", "\\`") + "`", "Null")
        # The library, unlike the server, takes a bare expression for a query.
        settings = {"implicit_select": "0", **request.settings}
        if request.readonly:
            settings.setdefault("readonly", "2")
        for name in settings:
            if not re.fullmatch(r"\w+", name):
                raise QueryError.of(115, "UNKNOWN_SETTING", f"Unknown setting '{name}'")
        connection.query("SET " + ", ".join(f"{k} = {quoted(v)}" for k, v in settings.items()), "Null")

    def _insert(self, connection, statement: bytes, format: str, data: bytes) -> Answer:
        stream = connection.send_insert(statement.decode(), format)
        try:
            connection.insert_append(stream, data)
            done = connection.insert_done(stream)
        except RuntimeError:
            connection.insert_cancel(stream)
            raise
        return Answer(written_rows=done.rows_written(), written_bytes=done.bytes_written())

    def _query(self, connection, request: Request) -> Answer:
        # The library runs scripts; the HTTP interface takes one statement.
        if connection.classify_query(request.query)["statement_count"] > 1:
            raise QueryError.of(62, "SYNTAX_ERROR", "Syntax error: Multi-statements are not allowed")
        result = connection.query(request.query, request.format)
        if result.has_error():
            raise RuntimeError(result.error_message())
        return Answer(bytes(result.bytes()), result.rows_read(), result.rows_written())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        if path == "/ping" or (path == "/" and "?" not in self.path):
            return self.send(200, b"Ok.\n")
        self.answer(readonly=True)

    def do_POST(self):
        self.answer(readonly=False)

    def answer(self, readonly: bool):
        started = time.monotonic_ns()
        body = self.read_body()
        if body is None:  # the client went away in the middle: nothing was sent to the engine
            self.close_connection = True
            return
        engine = self.server.engine
        try:
            done = engine.run(self.request_of(body, readonly))
        except QueryError as error:
            text = str(error).strip()
            text += "" if "(version " in text[-40:] else f" (version {engine.version})"
            code = {"X-ClickHouse-Exception-Code": str(error.code)}
            return self.send(STATUS.get(error.code, 500), text.encode() + b"\n", code)
        summary = {
            "read_rows": str(done.read_rows),
            "written_rows": str(done.written_rows),
            "written_bytes": str(done.written_bytes),
            "elapsed_ns": str(time.monotonic_ns() - started),
        }
        self.send(200, done.body, {"X-ClickHouse-Summary": json.dumps(summary)})

    def request_of(self, body: bytes, readonly: bool) -> Request:
        text = urllib.parse.urlsplit(self.path).query
        arguments = dict(urllib.parse.parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))
        if arguments.get("decompress", "0") == "1":
            body = unpack_blocks(body)
        if arguments.get("compress", "0") == "1":
            raise QueryError.of(48, "NOT_IMPLEMENTED", "this front does not send compressed blocks")
        if "session_id" in arguments:
            raise QueryError.of(48, "NOT_IMPLEMENTED", "this front has no sessions")
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            arguments.update(form_fields(kind, body))
            body = b""
        query = arguments.get("query", "").encode("utf-8", "surrogateescape")
        request = Request(query=query + b"\n" + body if query else body, readonly=readonly)
        request.database = arguments.get("database") or self.headers.get("X-ClickHouse-Database", "")
        request.format = (
            arguments.get("default_format") or self.headers.get("X-ClickHouse-Format") or request.format
        )
        for name, value in arguments.items():
            if name not in RESERVED:  # `param_x` too: parameters are settings of the connection
                request.settings[name] = value
        return request

    def read_body(self):
        """The whole body, or None when the connection ended before it did."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            return body if len(body) == length else None
        chunks = []
        while True:
            line = self.rfile.readline(128)
            if not line.endswith(b"\n"):
                return None
            size = int(line.split(b";")[0], 16)
            chunk = self.rfile.read(size)
            if len(chunk) != size or not self.rfile.readline(128).endswith(b"\n"):
                return None
            if size == 0:
                return b"".join(chunks)
            chunks.append(chunk)

    def send(self, status: int, body: bytes, headers=()):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("X-ClickHouse-Query-Id", f"dev-{next(self.server.numbers)}")
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        """Not logged: the log is for what goes wrong in the front itself."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description="ClickHouse HTTP endpoint for development and tests")
    parser.add_argument("--data", required=True, help="data directory, kept between starts")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    options = parser.parse_args()
    os.makedirs(options.data, exist_ok=True)
    server = Server(("127.0.0.1", options.port), Handler)
    server.engine, server.numbers = Engine(options.data), itertools.count(1)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(
        f"ClickHouse {server.engine.version} on 127.0.0.1:{options.port}, data in {options.data}", flush=True
    )
    server.serve_forever()
    server.engine.root.close()
    os._exit(0)  # requests still running end here, as with a server that is told to stop


if __name__ == "__main__":
    main()
