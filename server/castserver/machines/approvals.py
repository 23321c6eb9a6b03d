"""Which machines the operator lets in: approval by hand, and which of two that claim to be the same."""

from __future__ import annotations

from castcore.errors import NotFound, Refused
from sqlalchemy import select

from castserver.database.database import Database
from castserver.database.tables import SettingRow
from castserver.machines.clients import Client, Clients, holder_code
from castserver.machines.machinetrust import MOST_DENIED, Approval, Claim, without

SETTING = "approve-clients"


class Approvals:
    """What the operator says of machines is kept with their identity, over boots and restarts.

    ``approving`` None: as it was chosen last (at first: nobody is kept waiting).
    """

    def __init__(self, database: Database, clients: Clients, *, approving: bool | None = None) -> None:
        self._database, self._clients = database, clients
        self.require(self._kept() if approving is None else approving)

    @property
    def required(self) -> bool:
        """Whether machines have to be approved before they take part."""
        return self._clients.approving

    def require(self, required: bool) -> None:  # noqa: FBT001 - a setting's value
        """Choose it. Machines that are here and not approved are sent back to wait."""
        with self._clients.lock:
            if required is not self._kept():
                self._database.save(SettingRow(name=SETTING, value={"required": required}))
            self._clients.approving = required
            if required:
                for client in self._clients.all():
                    here = self._clients.session_of(client) is not None
                    if here and client.trust.approval is not Approval.APPROVED:
                        self._clients.end_session(client)
        self._clients.changed.fire()

    def waiting(self) -> list[Client]:
        """The machines that wait for it now."""
        now = self._clients.clock()
        return [c for c in self._clients.all() if waits(c, now, approving=self.required)]

    def approve(self, client: Client, code: str = "") -> None:
        """Let the machine in, now and always; of several that claim to be it, the one with ``code``.

        Raises Refused (several, and none is named), NotFound (none has this code).
        """
        with self._clients.lock:
            rival = self._named(client, code)
            trust = client.trust
            trust.approval = Approval.APPROVED
            if rival is not None:
                self._clients.end_session(client)
                trust.key, trust.code, trust.address = rival.key, rival.code, rival.address
                trust.heard, trust.left = rival.heard, False
                trust.rivals = without(trust.rivals, rival.key)
            self._clients.save_trust(client)
        self._clients.changed.fire()

    def deny(self, client: Client, code: str = "") -> None:
        """Keep the machine out until it is approved; of several that claim to be it, that with ``code``
        until it starts anew. Raises as `approve`.
        """
        with self._clients.lock:
            rival = self._named(client, code)
            trust = client.trust
            if rival is None:
                trust.approval = Approval.DENIED
                self._clients.end_session(client)
            else:
                trust.denied_keys = (*trust.denied_keys, rival.key)[-MOST_DENIED:]
                trust.rivals = without(trust.rivals, rival.key)
                self._clients.save_trust(client)
        self._clients.changed.fire()

    def _named(self, client: Client, code: str) -> Claim | None:
        """The rival that ``code`` names; None: the holder of the identity, or nobody else is there."""
        trust, code = client.trust, code.strip().lower()
        rivals = trust.present_rivals(self._clients.clock())
        if not code and rivals:
            shown = ", ".join(f"{claim.code} (at {claim.address})" for claim in rivals)
            holder = holder_code(client)
            raise Refused(
                f"several machines say they are {client.id}: {holder} (at {trust.address}), {shown}",
                hint="name the one that is meant by the code on its screen",
            )
        if not code or code == holder_code(client):
            return None
        found = next((claim for claim in rivals if claim.code == code), None)
        if found is None:
            raise NotFound(
                f"no machine that says it is {client.id} shows the code {code[:60]!r} now",
                hint="read it from its screen again: it is another after each start",
            )
        return found

    def _kept(self) -> bool:
        rows = self._database.find(select(SettingRow).where(SettingRow.name == SETTING))
        return any(bool(row.value["required"]) for row in rows)


def waits(client: Client, now: float, *, approving: bool) -> bool:
    """Whether the machine is here and has to be approved first."""
    trust = client.trust
    return approving and trust.approval is Approval.UNDECIDED and trust.held(now)
