"""What a client hands in and writes to a stick: kernel log and journal, bounded, without secrets."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from castclient.kernellog import kernel_lines, kernel_log
from castclient.machinelog import log_archive, machine_log
from castcore.control import LOG_SIZE, ClientState, Machine, MachineLog, Registration

SECRET = "hunter22hunter22"
PRODUCT = "VK7JG-NPHTM-C97JM-9MPGT-3V66T"
MOST_BODY = 1 << 20  # of a request


def test_records_of_the_kernel_become_lines() -> None:
    records = [
        b"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n",
        b"3,340,70000000,-;odd \\x1b[2J bytes: caf\\xc3\\xa9 \\x41\n",
        b"nonsense",
    ]
    assert kernel_lines(records) == [
        "    5.140900 NET: Registered protocol family 10",
        "   70.000000 odd ?[2J bytes: caf?? A",
    ]


def test_a_log_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert kernel_log(str(tmp_path / "none")) == ""
    (tmp_path / "log").write_bytes(b"6,1,1000000,-;a line")
    assert kernel_log(str(tmp_path / "log")) == "    1.000000 a line"


def test_what_is_handed_in_is_bounded_and_whole_lines() -> None:
    kernel = "\n".join(f"{number:9} \x07\u2028 zeile ü" for number in range(40_000))
    journal = tuple(f"{number} " + '"' * 200 for number in range(3_000))
    log = machine_log(ClientState.FAILED, kernel, journal, "about")
    assert len(log.kernel) <= LOG_SIZE
    assert log.kernel.splitlines()[0].split()[0].isdigit()
    assert log.kernel.endswith("39999 ?? zeile ü")
    assert len(json.dumps(log.to_json()).encode()) < MOST_BODY
    assert MachineLog.from_json(log.to_json()) == log


def test_planted_secrets_reach_neither_the_server_nor_a_stick() -> None:
    kernel = f"Command line: quiet password={SECRET}\nMSDM {PRODUCT}"
    journal = (f"Authorization: Bearer {SECRET}", "an honest line")
    registration = Registration(Machine("u", product=f"token={SECRET}"), (), (), "0.1")
    log = machine_log(ClientState.DONE, kernel, journal, f"secret={SECRET}")
    packed = log_archive(kernel, journal, f"secret={SECRET}", registration)
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        members = [opened.extractfile(member) for member in opened.getmembers()]
        texts = [member.read().decode() for member in members if member is not None]
    assert len(texts) == 5
    whole = "".join(texts) + json.dumps(log.to_json())
    assert SECRET not in whole
    assert PRODUCT not in whole
    assert whole.count("an honest line") == 2
