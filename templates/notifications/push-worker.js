"use strict";
// Shows what the portal pushes, also while no page of it is open, and opens its page when somebody presses it.
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let said = {};
  try {
    said = event.data.json();
  } catch { /* nothing that we sent; a browser wants something shown all the same */ }
  const options = { body: said.text ?? "", tag: said.tag, data: { url: said.url }, icon: "{{ icon }}" };
  event.waitUntil(self.registration.showNotification(said.title || "IoT Portal", options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const url = new URL(event.notification.data?.url || "/notifications/", self.location.origin);
  if (url.origin !== self.location.origin) return;
  event.waitUntil((async () => {
    const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const open = pages.find((page) => page.url === url.href);
    await (open ? open.focus() : self.clients.openWindow(url.href));
  })());
});
