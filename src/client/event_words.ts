/**
 * A one-line description of an event's body for people, not escaped yet.
 * @module
 */
import type { Described } from "../event/describe.ts";
import {
  LEASE_CLASS_NAMES,
  MIGRATION_WAY_NAMES,
  ROSTER_STATE_NAMES,
  SNAPSHOT_OP_NAMES,
  SNAPSHOT_STATE_NAMES,
  VM_DETAIL_NAMES,
  VM_STATE_NAMES,
} from "../event/body_number.ts";
import { principalWords } from "../base/principal_name.ts";
import { codeName } from "../base/codes.ts";
import { KIND, kindName } from "../event/kind.ts";
import { CURSOR_SHAPE_STATE, LED } from "../event/kinds/pointer_kinds.ts";
import { SOURCE_MAX, sourceName } from "../event/source.ts";
import { systemOfNumber } from "../guest/systems.ts";
import type { ClientEvent } from "./client_event.ts";
import { holderOf, holderWords } from "./lease_holder.ts";
import { leasePartiesOf, partiesWords } from "./lease_parties.ts";
import { describeBody } from "./describe_event.ts";

const SEAM_REASONS = [
  "asked",
  "peer closed",
  "heartbeat stale",
  "protocol error",
  "no permission",
  "process gone",
  "migrated to another host",
];
const REVOKE_REASONS = ["preempted", "owner gone", "endpoint gone", "not kept alive"];
const INVALID_REASONS = [
  "reset",
  "endpoint gone",
  "kernel changed",
  "memory map changed",
  "RAM was replaced",
];

const LED_NAMES = [[LED.SCROLL, "scroll lock"], [LED.NUM, "num lock"], [LED.CAPS, "caps lock"]] as const;

/** The description; text from outside is not escaped. */
export function eventWords(event: ClientEvent): string {
  const vm = event.as("VM_LIFECYCLE");
  if (vm !== undefined) {
    const detail = VM_DETAIL_NAMES[vm.detail] ?? `detail ${vm.detail}`;
    const way = vm.migration === 0 ? "" : `, ${nameOf(MIGRATION_WAY_NAMES, vm.migration)}`;
    return `${nameOf(VM_STATE_NAMES, vm.state)}${vm.detail === 0 ? "" : ` (${detail}${way})`}`;
  }
  const roster = event.as("ROSTER");
  if (roster !== undefined) {
    const seams: string[] = [];
    for (let i = 1; i < SOURCE_MAX; i++) {
      if ((roster.seams >>> i) & 1) seams.push(sourceName(i).toLowerCase());
    }
    const pid = roster.pid === 0 ? "" : ` pid ${roster.pid}`;
    return `${roster.name} ${nameOf(ROSTER_STATE_NAMES, roster.state)} [${seams.join(" ")}]${pid}`;
  }
  const seam = event.as("SEAM_DOWN") ?? event.as("SEAM_UP");
  if (seam !== undefined) {
    const reason = event.kind === KIND.SEAM_UP ? "" : nameOf(SEAM_REASONS, seam.reason);
    return [reason, seam.pid === 0 ? "" : `pid ${seam.pid}`].filter((part) => part !== "").join(", ");
  }
  const back = event.as("RECONNECTED");
  if (back !== undefined) {
    const attempts = back.attempts === 1 ? "1 attempt" : `${back.attempts} attempts`;
    return `after ${
      (back.awayNs / 1e9).toFixed(3)
    } s and ${attempts}, last event ${back.lastSeq}: the events in between were missed`;
  }
  return memoryOf(event) ?? changeOf(event) ?? pointerOf(event) ?? leaseOf(event) ?? auditOf(event) ??
    fieldsOf(event);
}

function pointerOf(event: ClientEvent): string | undefined {
  const shape = event.as("CURSOR_SHAPE");
  if (shape !== undefined) {
    const { head, state, width, height, hotX, hotY } = shape;
    if (state !== CURSOR_SHAPE_STATE.KNOWN) return `head ${head}: not known`;
    const isSeen = width > 0 && height > 0;
    return `head ${head}: ${
      isSeen ? `${width}x${height} pixels, points at ${hotX},${hotY}` : "none is seen"
    }`;
  }
  const lights = event.as("KEYBOARD_LEDS");
  if (lights === undefined) return undefined;
  const names = LED_NAMES.filter(([bit]) => (lights.bits & bit) !== 0).map(([, name]) => name);
  return `head ${lights.head}: ${lights.known === 1 ? names.join(", ") || "none is on" : "not known"}`;
}

function memoryOf(event: ClientEvent): string | undefined {
  const context = event.as("MEMCTX");
  if (context !== undefined) {
    const os = systemOfNumber(context.guestOs)?.title ??
      (context.guestOs === 0 ? "unknown" : `system ${context.guestOs}`);
    const mib = Math.round(context.ramBytes / 2 ** 20);
    return `${os}, ${mib} MiB, root 0x${
      context.kcr3.toString(16)
    }, epoch ${context.epoch}, ${event.fdCount} fds`;
  }
  const ended = event.as("MEMCTX_INVALIDATED");
  return ended === undefined
    ? undefined
    : `epoch ${ended.epoch} ended: ${nameOf(INVALID_REASONS, ended.reason)}`;
}

function changeOf(event: ClientEvent): string | undefined {
  const { name = "", words = "", status = "" } = describeBody(event);
  const snapshot = event.as("SNAPSHOT");
  if (snapshot !== undefined) {
    const what = `${SNAPSHOT_OP_NAMES[snapshot.op] ?? snapshot.op} ${name}`;
    return `${what}: ${nameOf(SNAPSHOT_STATE_NAMES, snapshot.state)}${words === "" ? "" : `, ${words}`}`;
  }
  const migration = event.as("MIGRATION");
  if (migration === undefined) return undefined;
  const { way, transferredBytes, remainingBytes } = migration;
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const amount = transferredBytes === 0
    ? ""
    : `, ${mib(transferredBytes)} sent, ${mib(remainingBytes)} to go`;
  return `${nameOf(MIGRATION_WAY_NAMES, way)} ${status}${amount}${words === "" ? "" : `, ${words}`}`;
}

function leaseOf(event: ClientEvent): string | undefined {
  if (event.kind === KIND.LEASE_WHO) {
    try {
      const parties = leasePartiesOf(event);
      return parties === undefined ? undefined : partiesWords(parties);
    } catch {
      // Other kinds are shown field by field.
      return undefined;
    }
  }
  const revoked = event.as("LEASE_REVOKED");
  if (revoked === undefined) return undefined;
  const by = holderOf(revoked.byPrincipal, revoked.byControl, revoked.byAs);
  const whose = by === undefined ? "" : ` by ${holderWords(by)}`;
  return `${nameOf(LEASE_CLASS_NAMES, revoked.cls)}: ${nameOf(REVOKE_REASONS, revoked.reason)}${whose}`;
}

function auditOf(event: ClientEvent): string | undefined {
  if (event.kind !== KIND.AUDIT) return undefined;
  const { kind, code, principal, as, control, cls, token, detail } = describeBody(event);
  const parts = [
    `${kindName(Number(kind))} ${codeName(Number(code))}`,
    principalWords(Number(principal), as === undefined ? "" : String(as)),
    `control ${control}`,
  ];
  if (cls !== undefined) parts.push(nameOf(LEASE_CLASS_NAMES, Number(cls)));
  if (token !== undefined) parts.push(`token ${token}`);
  if (detail !== undefined) parts.push(String(detail));
  return parts.join(", ");
}

function fieldsOf(event: ClientEvent): string {
  return Object.entries(describeBody(event)).map(([name, value]) => `${name}=${valueOf(value)}`).join(" ");
}

function valueOf(value: Described): string {
  // The whole cell is escaped later.
  if (typeof value === "string") return /^[\w.:/+-]+$/.test(value) ? value : `"${value}"`;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function nameOf(names: readonly string[], number: number): string {
  return names[number] ?? String(number);
}
