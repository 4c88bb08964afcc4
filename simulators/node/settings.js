/** Where a simulated device's identity comes from: the portal's zip, a folder, or single files. The twin of settings.py. */

import { X509Certificate, createPrivateKey } from "node:crypto";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { findProfile, readProfile } from "./profiles.js";
import { readZip } from "./zip.js";

export const DEFAULT_PORT = 8883;
export const PASSWORD_PORT = 8884; // of the broker, for devices without a certificate
const CONFIG = "config.json";
const FILES = { ca: "root-ca.pem", certificate: "device.crt", key: "device.key" };
const OWN_PROFILE = "profile.json"; // of a device whose profile is not a shipped one
// Certificates and a small JSON file: anything larger is not ours.
const LARGEST_FILE_BYTES = 256 * 1024;

/** What was given cannot be used; the message says what is missing and where to get it. */
export class SettingsError extends Error {}

/**
 * Return one device's identity, its kind, and where its portal is, from a zip downloaded from the portal or the folder it was
 * unpacked to. `overrides`: what the command line says in place of it. PEM files are Buffers.
 */
export function load(path, overrides) {
  if (!existsSync(path)) throw new SettingsError(`${path} does not exist`);
  const read = statSync(path).isDirectory() ? folderReader(path) : zipReader(path);
  const config = parsedConfig(read(CONFIG), path);
  const own = read(OWN_PROFILE);
  const profile = () => (own === undefined ? findProfile(String(config.profile ?? "standard")) : readProfile(own));
  const found = {
    deviceId: String(config.device_id),
    name: String(config.name || String(config.device_id).slice(0, 8)),
    host: String(config.host),
    port: Number(config.port ?? DEFAULT_PORT),
    profile: overrides.profile ?? profile(),
  };
  for (const [what, name] of Object.entries(FILES)) found[what] = read(name);
  return checked({ ...found, ...given(overrides) }, path);
}

/** Return the settings of every device folder and zip directly in `folder`, in the order of their names. */
export function loadFleet(folder, overrides) {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new SettingsError(`${folder} is not a folder`);
  const paths = readdirSync(folder).sort().map((name) => join(folder, name));
  const members = paths.filter((path) => (statSync(path).isDirectory() ? existsSync(join(path, CONFIG)) : path.endsWith(".zip")));
  if (members.length === 0) throw new SettingsError(`${folder} holds neither a device's zip nor a folder with a ${CONFIG}`);
  return members.map((path) => load(path, overrides));
}

/** Return the settings of a device given by single files on the command line. */
export function fromFiles(deviceId, name, overrides) {
  if (!overrides.ca || !(overrides.password || (overrides.certificate && overrides.key))) {
    throw new SettingsError("--id also needs --ca, --cert and --key (the files of the portal's download), or --password-file");
  }
  const profile = overrides.profile ?? findProfile("standard");
  const plain = { deviceId, name: name || deviceId.slice(0, 8), host: "localhost", port: DEFAULT_PORT, profile };
  return checked({ ...plain, ...given(overrides) }, "--id");
}

function given(overrides) {
  return Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
}

function folderReader(folder) {
  return (name) => {
    const path = join(folder, name);
    if (!existsSync(path)) return undefined;
    return name === OWN_PROFILE ? path : readFileSync(path);
  };
}

function zipReader(path) {
  let files;
  try {
    files = readZip(readFileSync(path), [CONFIG, OWN_PROFILE, ...Object.values(FILES)], LARGEST_FILE_BYTES);
  } catch (error) {
    throw new SettingsError(`${path} is not a zip that can be read (${error.message}); download it again`);
  }
  return (name) => files.get(name);
}

function parsedConfig(content, path) {
  if (content === undefined) {
    throw new SettingsError(`${path} has no ${CONFIG}: is it the zip of a device, downloaded from the portal?`);
  }
  let config;
  try {
    config = JSON.parse(content);
  } catch (error) {
    throw new SettingsError(`${CONFIG} of ${path} cannot be read: ${error.message}`);
  }
  if (typeof config !== "object" || config === null) throw new SettingsError(`${CONFIG} of ${path} is not a JSON object`);
  for (const key of ["device_id", "host"]) {
    if (!(key in config)) throw new SettingsError(`${CONFIG} of ${path} says no ${key}`);
  }
  return config;
}

function checked(settings, path) {
  const { deviceId, host, port, ca, certificate, key, password } = settings;
  if (!/^[0-9A-Za-z_-]{1,128}$/.test(deviceId)) {
    throw new SettingsError(`'${deviceId}' is not a device id: the portal shows it on the device's page`);
  }
  if (!host || !(port > 0 && port < 65536)) throw new SettingsError(`${host}:${port} is not an address: give --host and --port`);
  if (!ca) throw new SettingsError(`${path} has no root CA (${FILES.ca}); download it from the device's page`);
  if (password) return settings;
  if (!certificate) throw new SettingsError(`${path} has no certificate (${FILES.certificate}); download it from the device's page`);
  if (!key) {
    throw new SettingsError(
      `${path} has no private key (${FILES.key}). The portal keeps none for a device registered with a signing request: ` +
        "the key is on the machine that made the request. Give it with --key FILE.",
    );
  }
  if (!belongTogether(certificate, key)) {
    throw new SettingsError(
      `${settings.name}: ${FILES.certificate} and ${FILES.key} do not belong together, or are no PEM files; use both of one download`,
    );
  }
  return settings;
}

function belongTogether(certificate, key) {
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}
