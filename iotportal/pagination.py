"""Cursor paging of the API."""

from rest_framework import pagination


class CursorPagination(pagination.CursorPagination):
    """Pages that stay right while rows are added; `page_size` 1–200."""

    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = ("created_at", "id")
