"""The browsable pages of the API: DRF's, in our name."""

from __future__ import annotations

from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer


class BrowsablePages(BrowsableAPIRenderer):
    """DRF's pages without the style sheet that it would write into them, which our policy does not let through."""

    def get_context(self, data: Any, accepted_media_type: str | None, renderer_context: Any) -> dict[str, Any]:
        """Leave the style sheet out."""
        return {**super().get_context(data, accepted_media_type, renderer_context), "code_style": ""}
