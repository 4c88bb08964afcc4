"""`{% url %}` keeps addresses: it says the same as Django's."""

from __future__ import annotations

import pytest
from django.template import Context, RequestContext, Template
from django.test import RequestFactory
from django.urls import NoReverseMatch, ResolverMatch, reverse, set_script_prefix

DEVICE = "a" * 32


def drawn(text: str, **values: object) -> str:
    return Template(text).render(Context(values))


@pytest.mark.parametrize(
    "text", ["{% url 'messaging:tile' hex 'gpio' %}", "{% url 'messaging:tile' device_id=hex name='gpio' %}"]
)
def test_an_address_is_what_django_makes_of_it_each_time(text: str) -> None:
    for hex_ in (DEVICE, "b" * 32, DEVICE):
        assert drawn(text, hex=hex_) == reverse("messaging:tile", args=[hex_, "gpio"])


def test_what_has_no_address_is_told_or_is_nothing_where_it_is_given_a_name() -> None:
    for _ in range(2):
        with pytest.raises(NoReverseMatch):
            drawn("{% url 'messaging:tile' hex 'gpio' %}", hex="not an id")
        assert drawn("{% url 'no:such' as found %}({{ found }})") == "()"


def test_numbers_and_texts_that_are_equal_to_python_are_not_mixed_up() -> None:
    assert drawn("{% url 'admin:accounts_user_change' key %}", key=1) == reverse("admin:accounts_user_change", args=[1])
    assert drawn("{% url 'admin:accounts_user_change' key %}", key=True) == reverse("admin:accounts_user_change", args=[True])


def test_the_place_that_the_portal_is_served_from_counts_and_is_escaped_where_the_template_escapes() -> None:
    assert drawn("{% url 'help' %}") == "/help/"
    set_script_prefix("/a&b/")
    try:
        assert drawn("{% url 'help' %}{% autoescape off %}{% url 'help' %}{% endautoescape %}") == "/a&amp;b/help//a&b/help/"
    finally:
        set_script_prefix("/")


def test_the_page_of_an_app_finds_its_own_instance(rf: RequestFactory) -> None:
    request = rf.get("/")
    request.resolver_match = ResolverMatch(lambda: None, (), {}, namespaces=["admin"])
    assert Template("{% url 'admin:index' %}").render(RequestContext(request)) == reverse("admin:index", current_app="admin")
