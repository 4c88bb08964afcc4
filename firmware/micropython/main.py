"""A device of the portal in MicroPython: copy this file and the files of the device's zip onto a board.

config.json, root-ca.pem, device.crt and device.key are read from the board's own disk; where it is to join a
Wi-Fi, wifi.json too: {"ssid": "...", "password": "..."}. Needs MicroPython 1.23 or newer with umqtt.simple
(`mpremote mip install umqtt.simple`).
"""

import binascii
import json
import ssl
import time

import machine
from umqtt.simple import MQTTClient

KEEPALIVE_S = 60
BUFFER_BYTES = 1024  # a longer command is not for a board
EPOCH_S = 946684800 if time.gmtime(0)[0] == 2000 else 0  # some boards count from 2000

with open("config.json") as file:
    CONFIG = json.load(file)
ID = CONFIG["device_id"]
MODERN = CONFIG["profile"] == "modern"  # ids, presence and errors; the portal expects none of them of the others
commands = []  # what came and was not answered yet: a QoS 1 publish reads, so a callback must not publish


class Refused(Exception):
    """A command that cannot be obeyed: its code and why."""


def pin_number(given):
    number = given.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 255:
        raise Refused("bad_request", "number must be a pin from 0 to 255")
    return number


def value(given, kind, what):
    found = given.get("value")
    if not isinstance(found, kind) or isinstance(found, bool):
        raise Refused("bad_request", "value must be " + what)
    return found


def pin(number, *mode):
    try:
        return machine.Pin(number, *mode)
    except (ValueError, OSError):
        raise Refused("bad_request", "this board has no such pin") from None


def get_status(given):
    return {"value": "running"}


def set_status(given):
    if value(given, str, "restart") != "restart":
        raise Refused("bad_request", "value must be restart")
    return {"value": "restarting"}


def get_gpio(given):
    number = pin_number(given)
    return {"number": number, "value": pin(number).value()}


def set_gpio(given):
    number, level = pin_number(given), value(given, int, "0 or 1")
    if level not in (0, 1):
        raise Refused("bad_request", "value must be 0 or 1")
    pin(number, machine.Pin.OUT).value(level)
    return {"number": number, "value": level}


def get_rtc(given):
    return {"value": int(time.time()) + EPOCH_S}


def set_rtc(given):
    epoch = value(given, int, "seconds since 1970")
    year, month, day, hour, minute, second, weekday = time.gmtime(epoch - EPOCH_S)[:7]
    machine.RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
    return {"value": epoch}


def write_uart(given):
    text = value(given, str, "a text")
    print(text)
    return {"value": text}


APIS = {
    "get_status": get_status,
    "set_status": set_status,
    "get_gpio": get_gpio,
    "set_gpio": set_gpio,
    "get_rtc": get_rtc,
    "set_rtc": set_rtc,
    "write_uart": write_uart,
}


def publish(client, api, fields):
    """Say something. As bytes: umqtt counts the letters of a text, and one may have several bytes."""
    client.pid %= 65535  # which umqtt counts on for ever, and an MQTT packet has two bytes for
    client.publish(("server/" + ID + "/" + api).encode(), json.dumps(fields).encode(), qos=1)


def answer(client, api, payload):
    """Say once, on the topic of the same api, what came of a command; returns whether to restart."""
    given = {}
    try:
        given = json.loads(payload)
        if not isinstance(given, dict):
            given = {}
            raise ValueError
        if api not in APIS:
            raise Refused("unknown_api", "this device has no api named " + api)
        said = APIS[api](given)
    except ValueError:
        said = {"error": {"code": "bad_request", "message": "the command is not a JSON object"}}
    except Refused as refused:
        said = {"error": {"code": refused.args[0], "message": refused.args[1]}}
    if "error" in said and not MODERN:
        return False
    if MODERN and "id" in given:
        said["id"] = given["id"]
    publish(client, api, said)
    return said.get("value") == "restarting"


def came(topic, payload):
    api = topic.decode().split("/", 1)[1]
    if len(payload) <= BUFFER_BYTES:
        commands.append((api, payload))


def presence(client, state):
    if MODERN:
        publish(client, "presence", {"value": state})


def der(name):
    """Return a PEM file's first part as DER, which every port of MicroPython takes; few take PEM."""
    with open(name) as file:
        return binascii.a2b_base64(file.read().split("-----")[2])


def connect():
    """Return a connected client; raises OSError, and what umqtt raises besides."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(cadata=der("root-ca.pem"))
    tls.load_cert_chain(der("device.crt"), der("device.key"))
    client = MQTTClient(ID, CONFIG["host"], port=CONFIG["port"], keepalive=KEEPALIVE_S, ssl=tls)
    client.set_callback(came)
    if MODERN:
        client.set_last_will("server/" + ID + "/presence", '{"value": "offline"}', qos=1)
    client.connect()
    client.subscribe(ID + "/#", qos=1)
    print("listening as", ID)
    presence(client, "online")
    return client


def serve(client):
    """Answer until a restart is asked for; raises OSError when the connection is lost."""
    pinged = time.time()
    while True:
        client.check_msg()
        while commands:
            api, payload = commands.pop(0)
            if answer(client, api, payload):
                presence(client, "offline")
                client.disconnect()
                machine.reset()
                return
        if time.time() - pinged > KEEPALIVE_S // 3:
            client.ping()
            pinged = time.time()
        time.sleep(0.005)


def join():
    """Join the Wi-Fi of wifi.json; a board with a cable, or one that joins in boot.py, has none."""
    try:
        with open("wifi.json") as file:
            wifi = json.load(file)
    except OSError:
        return
    import network

    station = network.WLAN(network.STA_IF)
    station.active(True)
    station.connect(wifi["ssid"], wifi["password"])
    while not station.isconnected():
        print("waiting for", wifi["ssid"])
        time.sleep(1)


def main():
    join()
    pause_s = 1
    while True:
        del commands[:]
        try:
            client = connect()
            pause_s = 1
            serve(client)
            return
        except Exception as error:  # refused, cut off in the middle of a packet: umqtt has many words for it
            print("no connection:", type(error).__name__, str(error).strip())
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 60)


main()
