/** Reads files out of a zip. No more of the format than the portal writes: stored and deflated entries, no encryption. */

import { inflateRawSync } from "node:zlib";

const END_OF_DIRECTORY = 0x06054b50;
const END_BYTES = 22;
const LONGEST_COMMENT = 0xffff;
const [ENTRY, ENTRY_BYTES] = [0x02014b50, 46];
const [LOCAL_HEADER, LOCAL_BYTES] = [0x04034b50, 30];

/** Return the files called `names` that are in the zip, as Map of name to Buffer. Throws RangeError for what is no zip. */
export function readZip(archive, names, mostBytes) {
  const found = new Map();
  for (const entry of entries(archive)) {
    if (!names.includes(entry.name)) continue;
    if (entry.size > mostBytes) throw new RangeError(`${entry.name} is far too large to be a device's`);
    found.set(entry.name, content(archive, entry, mostBytes));
  }
  return found;
}

function* entries(archive) {
  const end = endOfDirectory(archive);
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left -= 1) {
    if (archive.readUInt32LE(at) !== ENTRY) throw new RangeError("its directory is broken");
    const nameBytes = archive.readUInt16LE(at + 28);
    yield {
      name: archive.toString("utf8", at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes),
      method: archive.readUInt16LE(at + 10),
      packedSize: archive.readUInt32LE(at + 20),
      size: archive.readUInt32LE(at + 24),
      offset: archive.readUInt32LE(at + 42),
    };
    at += ENTRY_BYTES + nameBytes + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32);
  }
}

function endOfDirectory(archive) {
  const first = Math.max(0, archive.length - END_BYTES - LONGEST_COMMENT);
  for (let at = archive.length - END_BYTES; at >= first; at -= 1) {
    if (archive.readUInt32LE(at) === END_OF_DIRECTORY) return at;
  }
  throw new RangeError("it is not a zip");
}

function content(archive, { name, method, packedSize, offset }, mostBytes) {
  if (archive.readUInt32LE(offset) !== LOCAL_HEADER) throw new RangeError(`${name} is broken`);
  const start = offset + LOCAL_BYTES + archive.readUInt16LE(offset + 26) + archive.readUInt16LE(offset + 28);
  const packed = archive.subarray(start, start + packedSize);
  if (method === 0) return packed;
  if (method !== 8) throw new RangeError(`${name} is packed in a way that is not known here`);
  return inflateRawSync(packed, { maxOutputLength: mostBytes });
}
