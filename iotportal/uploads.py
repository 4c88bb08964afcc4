"""How much a form may bring along."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

MAX_UPLOAD_BYTES = 12 * 1024 * 1024  # of all files of a request; a form reads what it needs of it


class BoundedUploads(FileUploadHandler):
    """Ends a request whose files are too large while they come, before they fill a disk."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # as Django makes its handlers
        self._received = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Count, and leave the data to the next handler.

        Raises:
            RequestDataTooBig: Django answers 400.
        """
        self._received += len(raw_data)
        if self._received > MAX_UPLOAD_BYTES:
            raise RequestDataTooBig(f"Files of a form have at most {MAX_UPLOAD_BYTES // 1024 // 1024} MiB.")
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""
        return
