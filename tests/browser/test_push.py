"""Pushes: a browser is switched on, shows what is pushed, and is switched off."""

from __future__ import annotations

import json
from operator import itemgetter

from playwright.sync_api import expect

from tests.browser.desk import Desk
from tests.browser.stack import Portal, until

WORKER = itemgetter("registrationId")
# The push service of a browser is its maker's, and out of reach here: in its place the catcher, with the keys that it has.
SERVICE = """
const about = %s;
const unsubscribe = async () => { sessionStorage.removeItem("on"); return true; };
const found = { endpoint: about.endpoint, toJSON: () => about, unsubscribe };
PushManager.prototype.subscribe = async (options) => {
  if (!options.userVisibleOnly || options.applicationServerKey.byteLength !== 65) throw new TypeError("no key");
  sessionStorage.setItem("on", 1);
  return found;
};
PushManager.prototype.getSubscription = async () => sessionStorage.getItem("on") ? found : null;
"""


def test_a_browser_is_switched_on_shows_what_is_pushed_and_is_taken_off_again(portal: Portal, desk: Desk) -> None:
    keys = portal.caught("/push/keys.json")
    about = {"endpoint": f"{portal.catcher}/push/{'a' * 32}", "keys": keys}
    context = desk.context("hanna", permissions=["notifications"])
    context.add_init_script(SERVICE % json.dumps(about))
    page = context.new_page()
    page.goto("/notifications/preferences/")
    page.get_by_role("button", name="Switch on in this browser").click()
    expect(page.get_by_text("Chrome on Linux (this one)")).to_be_visible()
    expect(page.get_by_role("button", name="Switch on in this browser")).to_be_hidden()

    page.get_by_role("button", name="Push something to try it").click()
    expect(page.get_by_text("webpush: taken")).to_be_visible()
    shown = until(lambda: portal.mails("push:aaaaaaaa"), "the push")[0]
    assert "This is how the portal pushes" in shown["text"]

    page.goto("/notifications/preferences/")
    said = {"title": "Pump: hot", "text": "<b>now</b>", "url": "/notifications/", "tag": "1"}
    client, registrations = context.new_cdp_session(page), list[str]()
    client.on("ServiceWorker.workerRegistrationUpdated", lambda told: registrations.extend(map(WORKER, told["registrations"])))
    client.send("ServiceWorker.enable")
    until(lambda: page.evaluate("1") and registrations, "the worker")  # what was told arrives with the answer to something else
    told = {"origin": portal.url, "registrationId": registrations[0], "data": json.dumps(said)}
    client.send("ServiceWorker.deliverPushMessage", told)
    shows = """async () => {
      const worker = await navigator.serviceWorker.getRegistration("/notifications/push/");
      return (await worker.getNotifications()).map((one) => [one.title, one.body, one.tag, one.data.url]);
    }"""
    assert until(lambda: page.evaluate(shows), "the notification") == [["Pump: hot", "<b>now</b>", "1", "/notifications/"]]

    page.get_by_role("button", name="Remove Chrome on Linux").click()
    expect(page.get_by_text("None is switched on yet.")).to_be_visible()
    expect(page.get_by_role("button", name="Switch on in this browser")).to_be_visible()
