"""Topic filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.broker.topics import SubscriptionTree, matches

_levels = st.sampled_from(["a", "b", "", "$SYS"])
_topics = st.lists(_levels, min_size=1, max_size=4).map("/".join)
_filters = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.sampled_from(["a", "b", "", "$SYS", "+"]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
) | st.just("#")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("+", "/a", False),
        ("/+", "/a", True),
        ("a/b", "a/B", False),
    ],
)
def test_it_matches_as_the_standard_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


@given(st.lists(st.tuples(_filters, st.integers(0, 5), st.integers(0, 1)), max_size=12), _topics, st.data())
def test_the_tree_finds_what_matches_and_forgets_what_is_removed(
    subscriptions: list[tuple[str, int, int]], topic: str, data: st.DataObject
) -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    known: dict[tuple[str, int], int] = {}
    for topic_filter, subscriber, qos in subscriptions:
        tree.add(topic_filter, subscriber, qos)
        known[topic_filter, subscriber] = qos
    gone = data.draw(st.sets(st.sampled_from(sorted(known)))) if known else set()
    for topic_filter, subscriber in gone:
        tree.remove(topic_filter, subscriber)
        del known[topic_filter, subscriber]
    expected: dict[int, int] = {}
    for (topic_filter, subscriber), qos in known.items():
        if matches(topic_filter, topic):
            expected[subscriber] = max(qos, expected.get(subscriber, 0))
    assert tree.match(topic) == expected


def test_the_tree_keeps_no_empty_branches() -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    tree.add("a/b/c", 1, 1)
    tree.add("a/b", 2, 1)
    tree.remove("a/b/c", 1)
    tree.remove("a/b", 2)
    tree.remove("a/b", 2)
    tree.remove("never/there", 1)
    assert tree._root.children == {}
