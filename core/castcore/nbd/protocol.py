"""The NBD protocol's numbers and messages: https://github.com/NetworkBlockDevice/nbd, doc/proto.md.

All numbers are big-endian. Fixed newstyle handshake, simple and structured replies, base:allocation.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

NBDMAGIC = 0x4E42444D41474943
IHAVEOPT = 0x49484156454F5054
OPTION_REPLY = 0x0003E889045565A9
REQUEST = 0x25609513
SIMPLE_REPLY = 0x67446698
STRUCTURED_REPLY = 0x668E33EF

GREETING = struct.Struct(">QQH")
CLIENT_FLAGS = struct.Struct(">I")
OPTION = struct.Struct(">QII")  # magic, option, length
OPTION_ANSWER = struct.Struct(">QIII")  # magic, option, reply type, length
EXPORT_NAME_ANSWER = struct.Struct(">QH")  # size, transmission flags
COMMAND = struct.Struct(">IHHQQI")  # magic, flags, type, cookie, offset, length
SIMPLE = struct.Struct(">IIQ")  # magic, error, cookie
CHUNK = struct.Struct(">IHHQI")  # magic, flags, type, cookie, length

FIXED_NEWSTYLE, NO_ZEROES = 1, 2
RESERVED_BYTES = 124
DONE = 1
BASE_ALLOCATION = "base:allocation"
ALLOCATION_ID = 1
HOLE_AND_ZERO = 3
# The longest string the protocol allows.
MOST_STRING = 4096


class Option(IntEnum):
    """What a client may ask for in the handshake."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Answer(IntEnum):
    """How an option is answered."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    UNSUPPORTED = 0x80000001
    INVALID = 0x80000003
    UNKNOWN = 0x80000006
    TOO_BIG = 0x80000009


class Info(IntEnum):
    """What is told of an export."""

    EXPORT = 0
    BLOCK_SIZE = 3


class Flag(IntFlag):
    """What the transmission phase offers."""

    HAS_FLAGS = 1
    READ_ONLY = 2
    SEND_FLUSH = 4
    MULTI_CONNECTION = 1 << 8


class Command(IntEnum):
    """What a client may request of an export."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


REQUEST_ONE = 1 << 3


class Error(IntEnum):
    """Why a request was not done."""

    NOT_PERMITTED = 1
    INPUT_OUTPUT = 5
    INVALID = 22
    OVERFLOW = 75


class ReplyType(IntEnum):
    """What a piece of a structured reply holds."""

    NONE = 0
    DATA = 1
    BLOCK_STATUS = 5
    ERROR = 0x8001
