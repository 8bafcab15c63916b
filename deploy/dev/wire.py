"""What the bytes of a request to clickhouse.py mean: INSERT statements that carry their data,
compressed blocks, forms. Nothing here needs the engine."""

import email.parser
import email.policy
import re
import struct

import lz4.block

TOKEN = re.compile(
    rb"""\s+|--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|\w+|.""", re.DOTALL
)
BLANK = re.compile(rb"\s|--|/\*")
LZ4_METHOD, PLAIN_METHOD = 0x82, 0x02


class QueryError(Exception):
    """What the engine (or this front, with the engine's code) refused."""

    def __init__(self, code: int, text: str):
        super().__init__(text)
        self.code = code

    @classmethod
    def from_engine(cls, error: Exception) -> "QueryError":
        found = re.search(r"Code: (\d+)\.", str(error))
        return cls(int(found[1]) if found else 1002, str(error))

    @classmethod
    def of(cls, code: int, name: str, text: str) -> "QueryError":
        return cls(code, f"Code: {code}. DB::Exception: {text} ({name})")


def split_insert(query: bytes):
    """(statement, format, data) of an INSERT that carries data in a format; None for anything else."""
    depth, statement = 0, None
    words = (match for match in TOKEN.finditer(query) if not BLANK.match(match[0]))
    for number, match in enumerate(words):
        word = match[0].upper()
        if statement is not None:
            # Blanks and one line break separate the clause from its data.
            return statement, match[0].decode(), re.sub(rb"\A[ \t\f]*(\r?\n)?", b"", query[match.end() :])
        if number == 0 and word != b"INSERT":
            return None
        if word in (b"(", b")"):
            depth += 1 if word == b"(" else -1
        elif depth == 0 and word in (b"SELECT", b"WITH", b"VALUES", b"INFILE"):
            return None
        elif depth == 0 and word == b"FORMAT":
            statement = query[: match.start()]
    return None


def unpack_blocks(data: bytes) -> bytes:
    """ClickHouse's compressed stream: checksum (16, not checked here), method, sizes, data."""
    plain, at = [], 0
    while at < len(data):
        if len(data) - at < 25:
            raise QueryError.of(271, "CANNOT_DECOMPRESS", "compressed block is cut off")
        method, size, plain_size = struct.unpack_from("<BII", data, at + 16)
        block = data[at + 25 : at + 16 + size]
        if len(block) != size - 9 or method not in (LZ4_METHOD, PLAIN_METHOD):
            raise QueryError.of(271, "CANNOT_DECOMPRESS", f"block of method {method:#x}, {size} bytes")
        try:
            plain.append(lz4.block.decompress(block, plain_size) if method == LZ4_METHOD else block)
        except lz4.block.LZ4BlockError as error:
            raise QueryError.of(271, "CANNOT_DECOMPRESS", str(error)) from None
        at += 16 + size
    return b"".join(plain)


def form_fields(content_type: str, body: bytes):
    """(name, value) of a multipart/form-data body."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    for part in message.iter_parts():
        value = part.get_payload(decode=True).decode("utf-8", "surrogateescape")
        yield part.get_param("name", header="content-disposition"), value
