/**
 * The names of VMs that nobody named for us. A VM says itself what it is called, so its name is made one that
 * an endpoint may have; and rights are granted by name, so a VM of another user than root or the daemon's own
 * has that user's number in its name: `web@1000`. No rule that names `web` covers it, whoever starts first.
 *
 * An endpoint's name has {@linkcode MAX_NAME_BYTES} bytes of UTF-8 in a ROSTER, and not every character.
 * What cannot be in it becomes a dash, a byte that is not UTF-8 its number, and what is too long is cut;
 * behind that stand a dot and six digits of a hash of the whole name, so that VMs whose own names differ are
 * called differently (`my vm` is `my-vm.0a48ca`), and a rule that names `my-vm` covers no other.
 * `vmsig probe` shows beside it what the VM calls itself, without loss.
 * @module
 */
import { MAX_NAME_BYTES } from "../base/limits.ts";

/** A byte that is not UTF-8, as `base/byte_text.ts` has it. */
const LONE_BYTE = /[\udc80-\udcff]/gu;

/**
 * A VM's own name as an endpoint may have it: the name itself where it can be one, else what can be of it and
 * a hash of all of it.
 *
 * @param name as QEMU's command line has it
 * @param pid what it is called by when nothing of that can be used: `qemu-PID`
 * @param most bytes at most; more than 7
 */
export function cleanName(name: string, pid: number, most: number = MAX_NAME_BYTES): string {
  // Whatever comes behind cannot be in the name: a character has a byte at least, and a few in front may go.
  const clean = name.slice(0, 4 * MAX_NAME_BYTES)
    .replace(LONE_BYTE, (half) => `x${(half.charCodeAt(0) & 0xff).toString(16)}`)
    .replace(/[^\p{L}\p{N}_.+@-]/gu, "-")
    .replace(/^[.+@-]+/, "");
  if (clean === "" || /^[0-9]+$/.test(clean)) return `qemu-${pid}`;
  if (clean === name && firstBytes(clean, most) === clean) return name;
  const tail = `.${hashOf(name)}`;
  return firstBytes(clean, most - tail.length) + tail;
}

/**
 * What the VM of a process is called in the roster.
 *
 * @param trusted whether the process is root's or the daemon's own user's: only their VMs have a bare name
 */
export function endpointName(name: string, pid: number, uid: number, trusted: boolean): string {
  if (trusted) return cleanName(name, pid);
  const suffix = `@${uid}`;
  return cleanName(name, pid, MAX_NAME_BYTES - suffix.length) + suffix;
}

/** As many whole characters as have this many bytes in UTF-8. */
function firstBytes(text: string, most: number): string {
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += new TextEncoder().encode(character).length;
    if (bytes > most) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** Six hexadecimal digits of a name's FNV-1a hash. It tells names apart; nobody's rights rest on it. */
function hashOf(name: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return ((hash ^ (hash >>> 24)) & 0xffffff).toString(16).padStart(6, "0");
}
