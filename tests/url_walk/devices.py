"""Devices, profiles, jobs and their history: pages and API."""

from __future__ import annotations

from tests.url_walk.rows import Row, api, door, page

DEVICE = "devices/<device:device_id>/"
PROFILE = "devices/profiles/<slug:key>/"
CERTIFICATE = DEVICE + "certificates/<uuid:certificate_id>/"
JOB = "devices/jobs/<device:job_id>/"
API_JOB = "api/v1/device-jobs/<str:job_id>"
API_DEVICE = "api/v1/devices/<str:device_id>"
API_CERTIFICATE = API_DEVICE + "/certificates/<str:certificate_id>"

TABLE: dict[str, Row] = {
    "devices/": page(GET="200"),
    "devices/register/": page(GET="200", POST="400"),
    DEVICE: page(GET="404 200"),
    DEVICE + "registered/": page(GET="404 200"),
    DEVICE + "name/": page(POST="404 403 403 400"),
    DEVICE + "kind/": page(POST="404 403 403 400"),
    DEVICE + "password/": page(GET="404 403 403 404", POST="404 403 403 404"),  # switched off
    DEVICE + "password/revoke/": page(GET="404 403 403 200", POST="404 403 403 302"),
    DEVICE + "key/forget/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    DEVICE + "renew/": page(GET="404 403 403 200", POST="404 403 403 400"),
    DEVICE + "pkcs12/": page(GET="404 403 403 200", POST="404 403 403 400"),
    CERTIFICATE: page(GET="404 200"),
    CERTIFICATE + "revoke/": page(GET="404 403 403 200", POST="404 403 403 400"),
    CERTIFICATE + "rescue/": page(GET="404 403 403 200", POST="404 403 403 302"),
    "devices/register/many/": page(GET="200", POST="400"),
    JOB: page(GET="404 200"),
    "devices/claim/": door(GET="200", POST="302 400"),
    DEVICE + "claim-code/": page(GET="404 403 403 200", POST="404 403 403 200"),
    DEVICE + "claim-code/withdraw/": page(GET="404 403 403 200", POST="404 403 403 302"),
    JOB + "claim-codes/": page(POST="404 403 403 409"),  # it made no devices
    JOB + "cancel/": page(POST="404 403 403 302"),
    JOB + "result/": page(GET="404 200"),
    JOB + "archive/": page(POST="404 403 403 400"),
    "devices/certificates/": page(GET="200", POST="400"),
    "devices/profiles/": page(GET="200"),
    "devices/profiles/new/": page(GET="200", POST="400"),
    PROFILE: page(GET="404 200"),
    PROFILE + "profile.json": page(GET="404 200"),
    PROFILE + "edit/": page(GET="404 403 403 200", POST="404 403 403 400"),
    PROFILE + "apis/new/": page(GET="404 403 403 200", POST="404 403 403 400"),
    PROFILE + "apis/<slug:api>/edit/": page(GET="404 403 403 200", POST="404 403 403 400"),
    PROFILE + "apis/<slug:api>/remove/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    PROFILE + "delete/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    DEVICE + "delete/": page(GET="404 403 403 200", POST="404 403 403 302", fresh=True),
    DEVICE + "files/<str:name>": page(GET="404 200"),
    DEVICE + "control/": page(GET="404 200"),
    DEVICE + "control/pins/": page(POST="404 403 403 400"),
    DEVICE + "control/<slug:name>/": page(rest="404 403 302", POST="404 403 200"),
    DEVICE + "timeline/": page(GET="404 200"),
    DEVICE + "emulator/": page(GET="404 403 403 200"),
    DEVICE + "emulator/<slug:name>/": page(POST="404 403 403 404"),  # it is told to do what no emulator does
    "emulator/": page(GET="200"),
    DEVICE + "offline/": page(GET="404 403 403 200", POST="404 403 403 400"),
    "pki/ca.pem": door(GET="200"),
    "pki/crl/<str:issuer>.crl": door(GET="404"),  # none was revoked
    "history/": page(GET="200"),
    "history/export/": page(GET="200"),
    # --- the API
    "api/v1/profiles": api(GET="200", POST="400"),
    "api/v1/profiles/<str:slug>": api(GET="404 200", PUT="404 403 403 400", DELETE="404 403 403 204", fresh=True),
    "api/v1/devices": api(GET="200", POST="400"),
    API_DEVICE: api(GET="404 200", PATCH="404 403 403 200", DELETE="404 403 403 204", fresh=True),
    API_DEVICE + "/profile": api(GET="404 200"),
    API_DEVICE + "/files/<str:name>": api(GET="404 200", DELETE="404 403 403 404"),
    API_DEVICE + "/password": api(GET="404 200", POST="404 403 403 409", DELETE="404 403 403 204"),
    API_DEVICE + "/pkcs12": api(POST="404 403 403 400"),
    "api/v1/claims": api(POST="400"),
    API_DEVICE + "/claim-code": api(POST="404 403 403 201", DELETE="404 403 403 204"),
    "api/v1/device-jobs": api(GET="200", POST="400"),
    API_JOB: api(GET="404 200", DELETE="404 403 403 204"),
    API_JOB + "/archive": api(POST="404 403 403 400"),
    "api/v1/certificates": api(GET="200"),
    API_DEVICE + "/certificates": api(GET="404 200", POST="404 403 403 201", fresh=True),
    API_CERTIFICATE: api(GET="404 200"),
    API_CERTIFICATE + "/revoke": api(POST="404 403 403 200", fresh=True),
    API_CERTIFICATE + "/rescue": api(POST="404 403 403 409"),
    API_DEVICE + "/presence": api(GET="404 200", PATCH="404 403 403 200"),
    API_DEVICE + "/timeline": api(GET="404 200"),
    API_DEVICE + "/commands": api(GET="404 200", POST="404 403 400"),
    API_DEVICE + "/status": api(GET="404 403 200"),
    API_DEVICE + "/restart": api(POST="404 403 200"),
    API_DEVICE + "/gpio/<int:number>": api(GET="404 403 200", PUT="404 403 400"),
    API_DEVICE + "/rtc": api(GET="404 403 200", PUT="404 403 400"),
    API_DEVICE + "/ethernet": api(GET="404 403 200"),
    API_DEVICE + "/uart": api(POST="404 403 400"),
    API_DEVICE + "/notifications": api(POST="404 403 400"),
    API_DEVICE + "/apis/<str:api>": api(GET="404 403 200", PUT="404 403 405"),
    "api/v1/messages": api(GET="200"),
}
