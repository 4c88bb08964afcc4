/** What kinds of device there are: the portal's own profiles, from the same files. The twin of profiles.py. */

import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";

// The same place in a checkout and in a device's zip.
const DATA = new URL("../../devices/profile_data/", import.meta.url);
const LARGEST_PROFILE_BYTES = 256 * 1024;
const SLUG = /^[a-z][a-z0-9-]{0,39}$/;
// The portal waits `settle_s` after an answer; a device that is conformant listens again well before that.
const SHARE_OF_SETTLE = 5;

/** A profile cannot be had; the message says why and what to do. */
export class ProfileProblem extends Error {}

/** Return the names of the shipped profiles. */
export function slugs() {
  return readdirSync(DATA).filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length)).sort();
}

/** Return the profile that the command line names: a shipped one, or the file of another. */
export function findProfile(word) {
  if (slugs().includes(word)) return shipped(word);
  if (word.endsWith(".json") || existsSync(word)) return readProfile(word);
  throw new ProfileProblem(`no profile is named ${word}: there are ${slugs().join(", ")}, or give a profile.json`);
}

/** Return the profile in a file, as its page at the portal offers it. */
export function readProfile(path) {
  let document;
  try {
    if (statSync(path).size > LARGEST_PROFILE_BYTES) throw new Error("it is far too large");
    document = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ProfileProblem(`${path} cannot be read: ${error.message}`);
  }
  return ownProfile(document, path);
}

/** Ask the portal what kind of device this is, and return its profile as it is now. */
export async function fetchProfile(portal, token, deviceId) {
  const url = `${portal.replace(/\/+$/, "")}/api/v1/devices/${deviceId}/profile`;
  if (!/^https?:\/\//.test(url)) {
    throw new ProfileProblem(`${portal} is not the portal's address: it begins with https:// or http://`);
  }
  const problem = (what) => new ProfileProblem(`${portal} does not give the profile of ${deviceId}: ${what}`);
  let answer;
  try {
    // Wherever it sends us, the token stays here: fetch leaves it out for another origin.
    answer = await fetch(url, { headers: { Authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(10_000) });
  } catch (error) {
    throw problem(error.cause?.message ?? error.message);
  }
  const words = { 401: "the token is not good there", 403: "the token may not read it", 404: "it has no such device" };
  if (!answer.ok) throw problem(words[answer.status] ?? `it answers ${answer.status}`);
  let document;
  try {
    document = await answer.json();
  } catch (error) {
    throw problem(error.message);
  }
  return ownProfile(document, deviceId.slice(0, 8));
}

/** Return how long the device does not listen after an answer, in milliseconds; undefined: it always listens. */
export function deafMs(profile) {
  return profile.deaf ? ((profile.settle_s ?? 0) * 1000) / SHARE_OF_SETTLE : undefined;
}

/** Return the size of the device's buffers for recipient and message; undefined: no limit. */
export function textBytes(profile) {
  const fields = profile.apis.trigger_notification?.fields ?? [];
  const sizes = fields.map((field) => field.max_bytes).filter((size) => size !== undefined && size !== null);
  return sizes.length ? Math.min(...sizes) : undefined;
}

/** Say whether the profile has this api as the protocol documents it, with the same fields and answer. */
export function isDocumented(profile, api) {
  const [own, documented] = [profile.apis[api], shipped("standard").apis[api]];
  return own !== undefined && documented !== undefined && shape(own) === shape(documented);
}

function shape(api) {
  return JSON.stringify([api.fields ?? [], api.answer ?? []].map((part) => part.map((one) => [one.name, one.type])));
}

const read = new Map();

function shipped(slug) {
  if (!read.has(slug)) read.set(slug, withBareApis(resolved(slug)));
  return read.get(slug);
}

/** Read a profile's file and lay it over the one it extends. */
function resolved(slug) {
  const { extends: base, ...own } = JSON.parse(readFileSync(new URL(`${slug}.json`, DATA), "utf8"));
  if (base === undefined) return own;
  const under = resolved(base);
  const apis = { ...under.apis };
  for (const name of own.lacks ?? []) delete apis[name];
  for (const [name, api] of Object.entries(own.apis ?? {})) apis[name] = { ...apis[name], ...api };
  return { ...under, ...own, apis };
}

/** Return a portal's own profile, which the portal has checked: here only what it is held together by. */
function ownProfile(document, where) {
  const isObject = typeof document === "object" && document !== null && !Array.isArray(document);
  if (!isObject || typeof document.slug !== "string" || !SLUG.test(document.slug) || typeof document.apis !== "object") {
    throw new ProfileProblem(`${where} is not a profile: it is a JSON object with slug, name and apis`);
  }
  if ("extends" in document) {
    throw new ProfileProblem(`${where} extends another profile; download the whole one from its page at the portal`);
  }
  return withBareApis(document);
}

/** Return the profile with each api knowing its name, in objects where "constructor" is as unknown as any other name. */
function withBareApis(profile) {
  const apis = Object.create(null);
  for (const [name, api] of Object.entries(profile.apis)) apis[name] = { ...api, name };
  return { ...profile, apis };
}
