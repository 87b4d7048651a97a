/**
 * The single packet of a rendezvous between processes: the listener sends it with the region and the
 * doorbells, or with its refusal. CBOR as specified in RING.md; the refusal is our own addition, in the form
 * of a control socket's REFUSED.
 * @module
 */
import { decode, encode } from "cborg";
import { CODE, codeName } from "../base/codes.ts";
import { Fault, type FaultCode, messageOf } from "../base/fault.ts";
import { MAX_ORDER } from "../v2v/region_layout.ts";

/** Size limit of the packet, bytes. */
export const MAX_INVITATION_BYTES = 1024;
/** Number of descriptors of an invitation: the region, then the four doorbells. */
export const INVITATION_FDS = 5;
const PROTO = 1;

/** The contents of an invitation. */
export interface Invitation {
  /** The region's generation. */
  readonly generation: number;
  /** Order of the ring from the listener. */
  readonly prodOrder: number;
  /** Order of the ring to the listener. */
  readonly consOrder: number;
}

/** An invitation as a packet. */
export function encodeInvitation(invitation: Invitation): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encode({ proto: PROTO, ...invitation }));
}

/** A refusal as a packet. */
export function encodeRefusal(code: "busy" | "not-admitted", reason: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(encode({ proto: PROTO, code: CODE[code], reason }));
}

/**
 * Parses the packet.
 *
 * @param bytes the whole packet
 * @param who the listener's name, for the error
 * @throws {Fault} the listener's own code if it refused; `protocol-error` if it is not a valid invitation
 */
export function decodeInvitation(bytes: Uint8Array, who: string): Invitation {
  const map = decodeMap(bytes, who);
  if (map.get("proto") !== PROTO) {
    throw bad(who, `it speaks protocol ${shown(map.get("proto"))}, not ${PROTO}`);
  }
  if (map.has("code")) throw refusal(map, who);
  return {
    generation: whole(map, "generation", 0xffff_ffff, who),
    prodOrder: whole(map, "prodOrder", MAX_ORDER, who),
    consOrder: whole(map, "consOrder", MAX_ORDER, who),
  };
}

function decodeMap(bytes: Uint8Array, who: string): Map<unknown, unknown> {
  let value: unknown;
  try {
    value = decode(bytes, { useMaps: true });
  } catch (error) {
    throw bad(who, `its invitation is not valid CBOR (${messageOf(error)})`);
  }
  if (!(value instanceof Map)) throw bad(who, "its invitation is not a map");
  return value;
}

function whole(map: Map<unknown, unknown>, key: string, most: number, who: string): number {
  const value = map.get(key);
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > most) {
    throw bad(who, `its ${key} is ${shown(value)}, and 0 to ${most} is possible`);
  }
  return value;
}

function refusal(map: Map<unknown, unknown>, who: string): Fault {
  const number = map.get("code");
  const name = typeof number === "number" ? codeName(number) : "refused";
  const code = (name in CODE && name !== "ok" ? name : "refused") as FaultCode;
  const reason = map.get("reason");
  return new Fault(
    code,
    `Cannot connect to ${who}: ${typeof reason === "string" ? reason.slice(0, 200) : "it refuses"}`,
  );
}

function bad(who: string, why: string): Fault {
  return new Fault(
    "protocol-error",
    `Cannot connect to ${who}: ${why}. Is the listener of this version of vmsig?`,
  );
}

function shown(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : String(value).slice(0, 40);
}
