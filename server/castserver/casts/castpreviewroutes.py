"""What a cast would do, told before it is made."""

from pydantic import Field

from castserver.api.access import Parts, operator_routes
from castserver.api.operatorroutes import MISSING
from castserver.api.viewbase import View
from castserver.casts.castfit import Outlook, Verdict
from castserver.casts.castpreview import Preview, preview
from castserver.casts.castwish import NewCast, request_of
from castserver.machines.clients import Clients

routes = operator_routes("operator", "/casts")


class TargetView(View):
    """A disk that a machine would lose the contents of."""

    path: str
    model: str
    serial: str
    size: int


class OutlookView(View):
    """What would become of one machine."""

    client: str
    label: str
    verdict: Verdict
    disks: list[TargetView] = Field(description="whose contents it would lose")
    reason: str = Field(description="why not, or not now; may be empty")


class PreviewView(View):
    """What a cast would do."""

    image: str
    root: str
    erased: int = Field(description="machines that would be erased at once")
    refused: int = Field(description="machines that the image does not fit")
    machines: list[OutlookView]
    most_at_once: int | None = Field(description="of them under way at a time; null: all of them")
    licences_needed: int = Field(description="machines that fit, at least as many as it starts with")
    licences_left: int | None = Field(description="null: the cast takes none")
    warning: str = Field(description="what to know before the cast is made; may be empty")


@routes.post("/preview", summary="What a cast would do", responses=MISSING)
def preview_cast(parts: Parts, body: NewCast) -> PreviewView:
    """Nothing is changed. Which machines would be erased, which are refused and why, by the disks that
    they told when they registered; and whether the licences suffice.
    """
    wish = request_of(parts.clients, body)
    found = preview(wish, parts.casts, parts.clients, parts.library, parts.casts.own_rules)
    return _view(found, parts.clients, wish.rules.most_at_once)


def _view(found: Preview, clients: Clients, most_at_once: int | None) -> PreviewView:
    verdicts = [machine.verdict for machine in found.machines.values()]
    return PreviewView(
        image=found.image,
        root=found.root,
        erased=verdicts.count(Verdict.ERASED),
        refused=verdicts.count(Verdict.MISFIT),
        most_at_once=most_at_once,
        machines=[_outlook_view(name, m, clients) for name, m in found.machines.items()],
        licences_needed=found.needed,
        licences_left=found.licences.count,
        warning=found.warning,
    )


def _outlook_view(name: str, machine: Outlook, clients: Clients) -> OutlookView:
    return OutlookView(
        client=name,
        label=clients.get(name).label,
        verdict=machine.verdict,
        disks=[
            TargetView(path=d.path, model=d.model, serial=d.serial, size=d.size) for d in machine.disks
        ],
        reason=machine.reason,
    )
