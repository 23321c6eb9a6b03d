"""What the operator calls about deploy media: which are connected, and which one is used."""

from castserver.api.access import Parts, operator_routes
from castserver.media.mediaviews import MediaView, media_view

routes = operator_routes("deploy media")


@routes.get("/media", summary="The deploy media")
def show_media(parts: Parts) -> MediaView:
    """The one connected last is used. One that was pulled out while it was leaves none, whatever else
    is connected, until one is connected again.
    """
    return media_view(parts.media.now)
