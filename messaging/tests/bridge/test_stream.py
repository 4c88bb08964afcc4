"""What the bridge makes of RabbitMQ's words about its stream."""

import pytest

from messaging.bridge.stream import is_missing
from messaging.rabbitmq.link import ChannelClosed

STREAM = "queue 'portal.bridge.messages' in vhost '/'"
HOME_DOWN = f"404 NOT_FOUND - home node 'portal@localhost' of durable {STREAM} is down or inaccessible"


def test_a_stream_that_was_never_declared_is_new() -> None:
    assert is_missing(ChannelClosed(404, f"404 NOT_FOUND - no {STREAM}"))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (404, HOME_DOWN),
        (404, f"404 NOT_FOUND - failed to perform operation on {STREAM} due to timeout"),
        (404, "the queue is gone"),
        (403, f"403 ACCESS_REFUSED - access to {STREAM} refused"),
    ],
)
def test_a_stream_that_is_only_out_of_reach_is_not_new(code: int, text: str) -> None:
    assert not is_missing(ChannelClosed(code, text))
