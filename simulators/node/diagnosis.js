/** Why a connection did not come about, in plain words, and what to do about it. The twin of diagnosis.py. */

const RENEW = "Renew it on the device's page and download the zip again.";
const LOOK_AT_PAGE = "It was revoked, deleted, or is another portal's. Look at the device's page.";
const RIGHT_PORT = "Is it the right port? The broker's is usually 8883, the web page's is another.";
const REFUSED_DEVICE = ["the broker refused this device", "It was revoked or deleted. Look at the device's page; download its zip again."];
const OTHER_PORTAL = [
  "the broker's certificate is not signed by this root-ca.pem",
  "It is another portal, or the portal was set up anew: download the device's zip again.",
];
const REFUSED_CERTIFICATE = ["the broker refused this device's certificate", LOOK_AT_PAGE];
const NO_TLS = ["what listens there does not speak TLS", RIGHT_PORT];

// MQTT 3.1.1, table 3.1: connect return codes.
const CONNACK_WORDS = {
  1: ["the broker does not speak this protocol version", "Leave --protocol away, or give the other one."],
  2: ["the broker refused the client id", "It must be the id the certificate was made for: use the files of one download."],
  3: ["the broker cannot take devices now", "Wait a moment; this goes on trying."],
  4: REFUSED_DEVICE,
  5: REFUSED_DEVICE,
};

// A part of Node's error code: what happened, what to do. The first that matches counts.
const TLS_WORDS = [
  ["CERTIFICATE_REVOKED", ["the broker says this device's certificate is revoked", RENEW]],
  ["ALERT_CERTIFICATE_EXPIRED", ["the broker says this device's certificate has expired", RENEW]],
  ["UNKNOWN_CA", ["the broker does not know who signed this device's certificate", LOOK_AT_PAGE]],
  ["CERTIFICATE_REQUIRED", ["the broker saw no certificate", "Are device.crt and device.key of this download?"]],
  ["BAD_CERTIFICATE", REFUSED_CERTIFICATE],
  ["CERTIFICATE_UNKNOWN", REFUSED_CERTIFICATE],
  ["ACCESS_DENIED", REFUSED_CERTIFICATE],
  ["DECRYPT_ERROR", ["device.crt and device.key do not belong together", "Use both files of one download."]],
  ["PROTOCOL_VERSION", ["the broker and this computer share no TLS version", "It wants TLS 1.2 or newer: update Node.js."]],
  ["HANDSHAKE_FAILURE", ["the broker and this computer share no cipher", "Update Node.js, or look at the broker's log."]],
  ["WRONG_VERSION_NUMBER", NO_TLS],
  ["HTTP_REQUEST", NO_TLS],
  ["PACKET_LENGTH_TOO_LONG", NO_TLS],
  ["SELF_SIGNED_CERT", OTHER_PORTAL],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", OTHER_PORTAL],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", OTHER_PORTAL],
  ["UNABLE_TO_GET_ISSUER_CERT", OTHER_PORTAL],
  ["CERT_SIGNATURE_FAILURE", OTHER_PORTAL],
];

/** What happened and what to do. `refused`: trying again soon will not help. */
export class Diagnosis {
  constructor(what, remedy, refused) {
    Object.assign(this, { what, remedy, refused });
  }

  toString() {
    return `${this.what}. ${this.remedy}`;
  }
}

export const HUNG_UP_EARLY = new Diagnosis(
  "the broker closed the connection without a word",
  "Usually the device was revoked or deleted, or its id is not the certificate's. Look at the device's page.",
  true,
);
export const SUBSCRIPTION_REFUSED = new Diagnosis(
  "the broker refused the subscription to the device's own topics",
  "The device id is not the certificate's: use the files of one download.",
  true,
);
export const SILENT_BROKER = new Diagnosis(
  "the broker took the connection and then said nothing", "Is it overloaded? This goes on trying.", false,
);
export const LOST = new Diagnosis("the connection was lost", "This connects again by itself.", false);
export const TAKEN_OVER = new Diagnosis(
  "the connection is cut again and again, right after it was made",
  "Is the same device running a second time, here or elsewhere? Only one can be connected.",
  false,
);

/** Return what an error of connecting means to the person who started the device. */
export function explain(error, { host, port }) {
  const code = String(error.code ?? "");
  if (code in CONNACK_WORDS) return new Diagnosis(...CONNACK_WORDS[code], code !== "3");
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new Diagnosis(`no computer is named ${host}`, "Check the name, the network, or give --host.", true);
  }
  if (code === "ECONNREFUSED") {
    return new Diagnosis(`nothing listens on ${host} port ${port}`, "Is the portal running, and is the port right?", true);
  }
  if (code === "ETIMEDOUT") {
    return new Diagnosis(`${host} port ${port} does not answer`, "Check the network and the firewall.", false);
  }
  if (code === "ECONNRESET") {
    return new Diagnosis("the broker hung up", "If it goes on: the device was revoked, or the port is not the broker's.", false);
  }
  return explainCertificate(code, host) ?? explainTls(code) ?? new Diagnosis(
    `the connection failed (${error.message})`, "This goes on trying.", false,
  );
}

function explainCertificate(code, host) {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new Diagnosis(
      `the broker's certificate is not made for the name ${host}`,
      "Use the name in config.json; for another address start the portal with HOST=that address, or give --host.",
      true,
    );
  }
  const when = { CERT_NOT_YET_VALID: "is not valid yet", CERT_HAS_EXPIRED: "has expired" }[code];
  if (when === undefined) return undefined;
  const today = new Date().toUTCString();
  return new Diagnosis(
    `the broker's certificate ${when}`, `This computer's clock says ${today}: set it if that is wrong.`, true,
  );
}

function explainTls(code) {
  const known = TLS_WORDS.find(([part]) => code.includes(part));
  if (known !== undefined) return new Diagnosis(...known[1], true);
  if (!code.startsWith("ERR_SSL") && !code.startsWith("ERR_TLS")) return undefined;
  return new Diagnosis(`TLS failed (${code})`, "Look at the broker's log.", true);
}
