"""The REST API's frame: the application, its gates, bodies, the OpenAPI document, live state."""
