"""How the API describes itself."""

from drf_spectacular.openapi import AutoSchema as SpectacularSchema


class AutoSchema(SpectacularSchema):
    """drf-spectacular's schema."""
