"""Pure DHCP/PXE/boot-script decisions; BOOTING.md beside this file names the firmware met."""

from castcore.boot.answers import PXE_PORT, SERVER_PORT, destination
from castcore.boot.bootclient import BootPlace, Kind, kind_of
from castcore.boot.bootimage import BootImage, ImageForm
from castcore.boot.leases import Lease, LeaseState, LeaseStore, LeaseTable, MemoryStore
from castcore.boot.message import Architecture, DhcpReply, DhcpRequest, MessageType
from castcore.boot.policy import BootDecision, BootEvent, BootMode, BootPolicy, BootStage, Verdict
from castcore.boot.pool import LeaseRules, Pool
from castcore.boot.probation import ArpPacket, Probation
from castcore.boot.proxy import decide as proxy_decide
from castcore.boot.scripts import ClientBoot
from castcore.boot.simpledhcp import decide as dhcp_decide
from castcore.boot.trustarchive import trust_archive

__all__ = [
    "PXE_PORT",
    "SERVER_PORT",
    "Architecture",
    "ArpPacket",
    "BootDecision",
    "BootEvent",
    "BootImage",
    "BootMode",
    "BootPlace",
    "BootPolicy",
    "BootStage",
    "ClientBoot",
    "DhcpReply",
    "DhcpRequest",
    "ImageForm",
    "Kind",
    "Lease",
    "LeaseRules",
    "LeaseState",
    "LeaseStore",
    "LeaseTable",
    "MemoryStore",
    "MessageType",
    "Pool",
    "Probation",
    "Verdict",
    "destination",
    "dhcp_decide",
    "kind_of",
    "proxy_decide",
    "trust_archive",
]
