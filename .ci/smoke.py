"""See from outside that a portal that was just deployed is the portal, and answers; needs nothing but Python.

python3 .ci/smoke.py https://portal.example.com mqtt.example.com:8883 mqtt.example.com:5671    (--ca FILE: your own authority)
"""

import argparse
import http.client
import ssl
import sys
from urllib.parse import urlsplit

# Path, status, and what body or headers must have.
PAGES = (
    ("/accounts/login/", 200, "<title>Sign in"),
    ("/static/css/portal.css", 200, "content-type: text/css"),
    ("/devices/", 302, "location: /accounts/login/"),
    ("/api/v1/devices", 401, "content-type: application/problem+json"),
    ("/api/v1/schema", 200, "openapi"),
    ("/healthz", 404, ""),  # metrics and health are for nobody outside
    ("/metrics", 404, ""),
)


def page(url: str, path: str, context: ssl.SSLContext) -> tuple[int, str]:
    """Return status, and headers with body as text. Raises OSError, http.client.HTTPException."""
    place = urlsplit(url)
    link: http.client.HTTPConnection
    if place.scheme == "https":
        link = http.client.HTTPSConnection(place.hostname or "", place.port, timeout=20, context=context)
    else:
        link = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    try:
        link.request("GET", path, headers={"User-Agent": "smoke"})
        answer = link.getresponse()
        headers = "".join(f"{name.lower()}: {value}\n" for name, value in answer.getheaders())
        return answer.status, headers + answer.read().decode(errors="replace")
    finally:
        link.close()


def wrong_with(url: str, path: str, status: int, word: str, context: ssl.SSLContext) -> str:
    """Return what is wrong with a page, "" if nothing is."""
    try:
        found, text = page(url, path, context)
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    if found != status:
        return f"{found}, expected {status}"
    return "" if word in text else f"without {word!r}"


def wrong_with_port(place: str) -> str:
    """Return what is wrong with a port for devices, of which nobody without a certificate sees more than its TLS."""
    host, _, port = place.rpartition(":")
    try:
        return "" if "BEGIN CERTIFICATE" in ssl.get_server_certificate((host, int(port)), timeout=20) else "no certificate"
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def main() -> int:
    """Look at everything and say how it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("devices", nargs="*", metavar="HOST:PORT")
    parser.add_argument("--ca")
    options = parser.parse_intermixed_args()
    context = ssl.create_default_context(cafile=options.ca)
    found = {path: wrong_with(options.url.rstrip("/"), path, status, word, context) for path, status, word in PAGES}
    found |= {place: wrong_with_port(place) for place in options.devices}
    for name, wrong in found.items():
        print(f"FAILED  {name}: {wrong}" if wrong else f"ok      {name}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
