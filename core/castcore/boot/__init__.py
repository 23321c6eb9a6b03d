"""Pure DHCP/PXE/boot-script decisions; BOOTING.md beside this file names the firmware met."""

from castcore.boot.answers import PXE_PORT, SERVER_PORT, destination
from castcore.boot.bootclient import BootPlace, Kind, kind_of
from castcore.boot.bootimage import BootImage, ImageForm
from castcore.boot.hearing import heard
from castcore.boot.history import History, Step, continued
from castcore.boot.leases import Lease, LeaseState, LeaseStore, LeaseTable, MemoryStore
from castcore.boot.message import Architecture, DhcpReply, DhcpRequest, MessageType
from castcore.boot.modes import (
    InterfaceMode,
    ModeDecision,
    Presence,
    Situation,
    WantedMode,
    mode_for,
    named,
)
from castcore.boot.policy import (
    BootDecision,
    BootEvent,
    BootPolicy,
    BootStage,
    Everyone,
    Transfer,
    Verdict,
)
from castcore.boot.pool import LeaseRules, Pool
from castcore.boot.presence import PROBE_SECONDS, PresenceWatch
from castcore.boot.probation import ArpPacket, Probation
from castcore.boot.proxy import decide as proxy_decide
from castcore.boot.scripts import ClientBoot
from castcore.boot.simpledhcp import decide as dhcp_decide
from castcore.boot.story import Outlook, Story, away, tell, unheard
from castcore.boot.survey import FoundServer, Hearsay, boot_server_request, discover, hearsay
from castcore.boot.trustarchive import trust_archive

__all__ = [
    "PROBE_SECONDS",
    "PXE_PORT",
    "SERVER_PORT",
    "Architecture",
    "ArpPacket",
    "BootDecision",
    "BootEvent",
    "BootImage",
    "BootPlace",
    "BootPolicy",
    "BootStage",
    "ClientBoot",
    "DhcpReply",
    "DhcpRequest",
    "Everyone",
    "FoundServer",
    "Hearsay",
    "History",
    "ImageForm",
    "InterfaceMode",
    "Kind",
    "Lease",
    "LeaseRules",
    "LeaseState",
    "LeaseStore",
    "LeaseTable",
    "MemoryStore",
    "MessageType",
    "ModeDecision",
    "Outlook",
    "Pool",
    "Presence",
    "PresenceWatch",
    "Probation",
    "Situation",
    "Step",
    "Story",
    "Transfer",
    "Verdict",
    "WantedMode",
    "away",
    "boot_server_request",
    "continued",
    "destination",
    "dhcp_decide",
    "discover",
    "heard",
    "hearsay",
    "kind_of",
    "mode_for",
    "named",
    "proxy_decide",
    "tell",
    "trust_archive",
    "unheard",
]
