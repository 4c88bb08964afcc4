"""Every number that bounds the broker, in one place, so that a test can make any of them small."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes, the rest are counts."""

    # A peer that opens a socket and says nothing must not hold it: one limit for TLS, one for CONNECT after it.
    handshake_seconds: float = 10.0
    connect_seconds: float = 10.0
    # The answer of the admission look-up (a database): longer than that is an outage, the device comes back.
    admit_seconds: float = 10.0
    # At the door for passwords, where nobody has proven anything: who waits for the look-up, in all and of one address. The
    # look-up takes about a millisecond, so a thousand devices behind one address come in within seconds, by trying again.
    passwords_waiting: int = 256
    passwords_waiting_of_address: int = 64
    # A peer whose TCP window stays shut that long is gone, even if its keepalive is off.
    write_stall_seconds: float = 30.0
    shutdown_seconds: float = 2.0
    # A device that is refused again and again is told of to its owner once in this time.
    refusal_seconds: float = 30.0
    # One certificate in two places: so many take-overs from one address in this time tell of it, as one from another address
    # does; it is told again after a while only.
    takeover_seconds: float = 600.0
    takeover_flaps: int = 5
    takeover_quiet_seconds: float = 60.0
    # When the broker stops, its bridge may still take and acknowledge what waits for it.
    drain_seconds: float = 2.0
    # MQTT 3.1.1, 3.1.2.10: silence of one and a half keepalive intervals ends the connection.
    keepalive_factor: float = 1.5

    # Four times the largest payload the history keeps: what is too long for it is still seen, as malformed.
    packet_bytes: int = 64 * 1024
    connections: int = 5_000
    sessions: int = 10_000
    retained: int = 20_000
    subscriptions: int = 64
    # An abandoned persistent session is forgotten; the portal's standing sessions are not.
    session_expiry_seconds: float = 3_600.0
    sweep_seconds: float = 30.0

    # Outgoing: un-acknowledged messages per client (window), and what waits behind them (queue).
    device_window: int = 64
    device_window_bytes: int = 256 * 1024
    service_window: int = 2_000
    service_window_bytes: int = 4 * 1024 * 1024
    device_queue: int = 1_000
    device_queue_bytes: int = 1024 * 1024
    # For all devices together: what is said to them comes from the gateways, which have no share of their own.
    device_queues_bytes: int = 64 * 1024 * 1024
    # The longest timeout of a command: what waited longer for its device is nobody's any more.
    device_message_seconds: float = 30.0
    # A gateway hears answers that somebody waits for: of one device a few, however much it says.
    service_queue: int = 20_000
    service_queue_bytes: int = 32 * 1024 * 1024
    service_share: int = 1_000
    service_share_bytes: int = 512 * 1024
    # The bridge's queue never drops: a device with `publisher_share` messages in it is not read from, and
    # with the whole queue full nobody is. 100,000 messages are 100 s of a 1,000/s load without a bridge.
    lossless_queue: int = 100_000
    lossless_queue_bytes: int = 64 * 1024 * 1024
    publisher_share: int = 5_000
    publisher_share_bytes: int = 2 * 1024 * 1024
    # Incoming QoS 2 packet ids between PUBLISH and PUBREL.
    unreleased: int = 64

    # Packets of one client handled before the others get their turn, and bytes gathered before one write.
    burst: int = 256
    write_bytes: int = 256 * 1024
