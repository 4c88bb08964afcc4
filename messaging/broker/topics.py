"""Topic filters: one match, and the tree that finds all subscribers of a topic."""

from collections.abc import Iterator
from typing import Generic, TypeVar

Subscriber = TypeVar("Subscriber")


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether `topic_filter` covers `topic` (MQTT 3.1.1, 4.7); wildcards at the front do not cover ``$`` topics."""
    if topic.startswith("$") and topic_filter[:1] in ("+", "#"):
        return False
    wanted, levels = topic_filter.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


class _Node(Generic[Subscriber]):
    __slots__ = ("children", "subscribers")

    def __init__(self) -> None:
        self.children: dict[str, _Node[Subscriber]] = {}
        self.subscribers: dict[Subscriber, int] = {}


class SubscriptionTree(Generic[Subscriber]):
    """Subscriptions by topic level; finding a topic's subscribers does not depend on how many others there are."""

    def __init__(self) -> None:
        self._root: _Node[Subscriber] = _Node()

    def add(self, topic_filter: str, subscriber: Subscriber, qos: int) -> None:
        """Add or change one subscription."""
        node = self._root
        for level in topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        node.subscribers[subscriber] = qos

    def remove(self, topic_filter: str, subscriber: Subscriber) -> None:
        """Remove one subscription and the branches it leaves empty; an unknown one is ignored."""
        path, node = [], self._root
        for level in topic_filter.split("/"):
            child = node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        node.subscribers.pop(subscriber, None)
        for parent, level in reversed(path):
            child = parent.children[level]
            if child.subscribers or child.children:
                return
            del parent.children[level]

    def match(self, topic: str) -> dict[Subscriber, int]:
        """Return each subscriber of `topic` once, with the highest QoS among its matching filters."""
        found: dict[Subscriber, int] = {}
        for node in self._nodes(topic.split("/"), wildcards=not topic.startswith("$")):
            for subscriber, qos in node.subscribers.items():
                found[subscriber] = max(qos, found.get(subscriber, 0))
        return found

    def _nodes(self, levels: list[str], *, wildcards: bool) -> Iterator[_Node[Subscriber]]:
        """Yield the nodes whose filter covers the topic; `wildcards` is False for the first level of a ``$`` topic."""
        here = [self._root]
        for level in levels:
            below = []
            for node in here:
                if wildcards and (rest := node.children.get("#")) is not None:
                    yield rest
                if wildcards and (anything := node.children.get("+")) is not None:
                    below.append(anything)
                if (exact := node.children.get(level)) is not None:
                    below.append(exact)
            here, wildcards = below, True
        for node in here:
            yield node
            # "a/#" covers "a" itself (4.7.1.2).
            if (rest := node.children.get("#")) is not None:
                yield rest
