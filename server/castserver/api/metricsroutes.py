"""The page that a monitoring system collects; it takes a token with the role of a viewer."""

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST

from castserver.api import metrics
from castserver.api.access import Parts, operator

routes = APIRouter(include_in_schema=False, dependencies=[Depends(operator)])


@routes.get("/metrics")
def show_metrics(parts: Parts) -> Response:
    """The server's state in the Prometheus text format."""
    return Response(metrics.render(parts.state()), media_type=CONTENT_TYPE_LATEST)
