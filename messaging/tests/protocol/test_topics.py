from __future__ import annotations

import pytest

from messaging.protocol import topics
from messaging.protocol.topics import Parsed

ID = "0123456789abcdef0123456789abcdef"


def test_a_command_and_its_answer_have_their_topics() -> None:
    assert topics.command_topic(ID, "set_gpio") == f"{ID}/set_gpio"
    assert topics.answer_topic(ID, "set_gpio") == f"server/{ID}/set_gpio"
    assert topics.commands_filter(ID) == f"{ID}/#"
    assert topics.answers_filter(ID) == f"server/{ID}/#"


def test_a_topic_is_read_in_both_directions() -> None:
    assert topics.parse(f"{ID}/set_gpio") == Parsed("to", ID, "set_gpio")
    assert topics.parse(f"server/{ID}/set_gpio") == Parsed("from", ID, "set_gpio")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "/",
        ID,
        f"{ID}/",
        f"/{ID}/get_ip",
        f"{ID}/get_ip/",
        f"{ID}/a/b",
        f"{ID}//get_ip",
        f"{ID}/+",
        f"{ID}/#",
        "#",
        "server/#",
        f"server/{ID}",
        f"server/{ID}/",
        f"server/{ID}/a/b",
        f"server/server/{ID}/a",
        f"Server/{ID}/a",
        f"{ID.upper()}/get_ip",
        f"{ID[:-1]}/get_ip",
        f"{ID}0/get_ip",
        f"{ID}/Get_ip",
        f"{ID}/get-ip",
        f"{ID}/get.ip",
        f"{ID}/get_ip\n",
        f"{ID}/{'a' * 65}",
        f"{ID}/$sys",
        f"$SYS/{ID}/a",
        f"{ID}/gét",
        "０" * 32 + "/get_ip",
        f"{ID}.get_ip",
    ],
)
def test_it_knows_no_other_topics(topic: str) -> None:
    assert topics.parse(topic) is None


@pytest.mark.parametrize("device_id", ["", ID[:-1], ID + "0", ID.upper(), "+", f"{ID}/x", f"{ID}\n", "server"])
def test_it_refuses_to_build_a_topic_for_what_is_no_device(device_id: str) -> None:
    for build in (topics.commands_filter, topics.answers_filter, topics.connection_topic):
        with pytest.raises(ValueError, match="no device id"):
            build(device_id)
    with pytest.raises(ValueError, match="no device id"):
        topics.command_topic(device_id, "get_ip")


@pytest.mark.parametrize("api", ["", "+", "#", "a/b", "Get", "a.b", "$x", "a" * 65, "a\n"])
def test_it_refuses_to_build_a_topic_for_what_is_no_api(api: str) -> None:
    for build in (topics.command_topic, topics.answer_topic):
        with pytest.raises(ValueError, match="no api name"):
            build(ID, api)


def test_the_brokers_own_events_are_read() -> None:
    assert topics.parse_connection(topics.connection_topic(ID)) == ID
    assert topics.parse_connection(f"$SYS/portal/connections/{ID}/x") is None
    assert topics.parse_connection(ID) is None
    assert topics.parse_connection("$SYS/portal/connections/portal.bridge") is None
    assert topics.parse(topics.connection_topic(ID)) is None


@pytest.mark.parametrize("length", [1, 64])
def test_names_may_be_this_long(length: int) -> None:
    assert topics.parse(f"{ID}/{'a' * length}") is not None
