"""A CSV file as an answer of the API."""

from fastapi import Response

from castserver.api.spreadsheet import MEDIA_TYPE


class CsvFile(Response):
    """A CSV file to keep."""

    media_type = MEDIA_TYPE
