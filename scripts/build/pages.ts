/**
 * The tables of the protocol's pages (src/event/PROTOCOL.md, src/vgpu/REGION.md, src/v2v/RING.md), made from
 * what the code itself goes by: the catalogue of kinds, the layouts, the numbers. A page holds each table
 * between `<!-- table: NAME -->` and `<!-- end of table -->`; the prose around it is written by hand.
 *
 *   deno run -A scripts/build/pages.ts           checks that each page is as it would be made, and names the
 *                                          first line that differs
 *   deno run -A scripts/build/pages.ts --write   makes them
 *
 * @module
 */
import { CODE } from "../../src/base/codes.ts";
import type { Field, Fields } from "../../src/base/layout.ts";
import { ROWS } from "../../src/event/catalogue.ts";
import { AGENT_OP, AGENT_SHUTDOWN } from "../../src/event/agent_op.ts";
import * as numbers from "../../src/event/body_number.ts";
import { CAP, capNames, RETIRED_CAPS } from "../../src/event/capability.ts";
import { RETIRED_KINDS } from "../../src/event/kind.ts";
import type { KindRow, Needs } from "../../src/event/kind_row.ts";
import { LEASE_CLASSES } from "../../src/event/lease_class.ts";
import { PRIO, prioName } from "../../src/event/priority.ts";
import { SOURCE, sourceName } from "../../src/event/source.ts";
import { SYSTEMS } from "../../src/guest/systems.ts";
import * as region from "../../src/vgpu/region_layout.ts";
import { PIXEL_FORMAT } from "../../src/vgpu/pixel_format.ts";
import * as ring from "../../src/v2v/region_layout.ts";

const ROOT = new URL("../../", import.meta.url);
const BEGIN = /^<!-- table: ([a-z-]+) -->$/;
const END = "<!-- end of table -->";

type Table = () => string;
type Names = Readonly<Record<string, number>>;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

const hex = (value: number, digits = 0): string =>
  `0x${value.toString(16).toUpperCase().padStart(digits, "0")}`;
const words = (names: Names): string =>
  Object.entries(names).map(([name, number]) => `${number} ${name.toLowerCase().replaceAll("_", "-")}`).join(
    ", ",
  );

function kinds(): string {
  const head = ["number", "kind", "way", "source", "priority", "body", "fds", "who", "kept"];
  return table(
    head,
    ROWS.map(([name, row]) => [
      `${row.number}`,
      name,
      row.way,
      row.source === SOURCE.NONE ? (row.way === "up" ? "the emitter's" : "-") : sourceName(row.source),
      priorityOf(row),
      row.body === "raw-or-none" ? "raw, or none" : row.body,
      row.fds === 0 ? "-" : `${row.fds}`,
      needsOf(row.needs, row),
      row.retained === 0
        ? "-"
        : `${row.retained}${row.retainedBy === undefined ? "" : `, by ${row.retainedBy}`}`,
    ]),
  );
}

function priorityOf({ way, prio }: KindRow): string {
  if (way === "handshake") return "-";
  const { broadcast, addressed } = prio;
  return broadcast === addressed
    ? prioName(broadcast)
    : `${prioName(broadcast)}; ${prioName(addressed)} as an answer`;
}

function needsOf(needs: Needs, row: KindRow): string {
  switch (needs.by) {
    case "any":
      return capNames(needs.caps).join(" or ") + leaseOf(needs.lease);
    case "addressed":
      return "whom it answers";
    case "operation":
      return "by operation, below";
    case "lease-class":
      return `the class's${needs.also === 0 ? "" : ` or ${capNames(needs.also).join(" or ")}`}`;
    case "joined":
      return "whoever has joined";
    case "nobody":
      return row.way === "handshake" ? "see Joining" : row.way === "local" ? "does not travel" : "nobody";
  }
}

function leaseOf(lease: number | null): string {
  return lease === null ? "" : `, under ${numbers.LEASE_CLASS_NAMES[lease]} lease`;
}

function operations(): string {
  const names: Readonly<Record<string, Names>> = {
    CMD_LIFECYCLE: numbers.LIFE,
    CMD_VM: numbers.VM_OP,
    CMD_AGENT: AGENT_OP,
    CMD_SNAPSHOT: numbers.SNAPSHOT_OP,
  };
  const rows: string[][] = [];
  for (const [kind, { needs }] of ROWS) {
    if (needs.by !== "operation") continue;
    for (const [operation, need] of needs.of) {
      const name = Object.entries(names[kind] ?? {}).find(([, number]) => number === operation)?.[0];
      if (name === undefined) throw new Error(`operation ${operation} of ${kind} has no name`);
      rows.push([
        kind,
        `${operation}`,
        name.toLowerCase(),
        capNames(need.caps).join(" or ") + leaseOf(need.lease),
      ]);
    }
  }
  return table(["kind", "operation", "name", "needs"], rows);
}

function fieldsText(fields: Fields): string {
  return Object.entries(fields).map(([name, field]) => {
    const [offset, type, count = 1] = field as Field;
    return `${offset} ${type === "bytes" ? `byte[${count}]` : type} ${name}`;
  }).join(" · ");
}

function inlines(): string {
  const rows = ROWS.filter(([, row]) => row.inline !== null).map(([name, row]) => [
    name,
    fieldsText((row.inline as { fields: Fields }).fields),
  ]);
  return table(["kind", "inline zone: offset, type, name"], rows);
}

function layoutTable(fields: Fields, digits: number): string {
  return table(
    ["offset", "type", "field"],
    Object.entries(fields).map(([name, field]) => {
      const [offset, type, count = 1] = field as Field;
      return [hex(offset, digits), type === "bytes" ? `byte[${count}]` : type, name];
    }),
  );
}

const named = (title: string, rows: readonly (readonly [string, string])[]): string =>
  table([title, "numbers"], rows);

const TABLES: Readonly<Record<string, Readonly<Record<string, Table>>>> = {
  "src/event/PROTOCOL.md": {
    kinds,
    operations,
    "inline-zones": inlines,
    "retired-numbers": () =>
      named("retired", [
        ["kinds", RETIRED_KINDS.map(([from, to]) => from === to ? `${from}` : `${from} to ${to}`).join(", ")],
        ["capabilities", RETIRED_CAPS.map((bit) => hex(bit)).join(", ")],
      ]),
    capabilities: () =>
      table(["capability", "bit"], Object.entries(CAP).map(([name, bit]) => [name, hex(bit)])),
    sources: () =>
      table(["source", "number"], Object.entries(SOURCE).map(([name, number]) => [name, `${number}`])),
    priorities: () =>
      table(["priority", "number"], Object.entries(PRIO).map(([name, number]) => [name, `${number}`])),
    "lease-classes": () =>
      table(
        ["class", "number", "capability"],
        Object.values(LEASE_CLASSES).map((
          { name, number, cap },
        ) => [name, `${number}`, capNames(cap).join(" ")]),
      ),
    codes: () => table(["code", "name"], Object.entries(CODE).map(([name, code]) => [`${code}`, name])),
    "body-numbers": () =>
      named("where", [
        ["SEAM_UP, SEAM_DOWN reason", words(numbers.SEAM_REASON)],
        ["LEASE_DENIED reason", words(numbers.LEASE_DENY)],
        ["LEASE_REVOKED reason", words(numbers.LEASE_REVOKE)],
        ["VM_LIFECYCLE state", words(numbers.VM_STATE_NUMBER)],
        ["VM_LIFECYCLE detail", words(numbers.VM_DETAIL)],
        ["VM_LIFECYCLE migration", words(numbers.MIGRATION_WAY)],
        ["CMD_SNAPSHOT, SNAPSHOT op", words(numbers.SNAPSHOT_OP)],
        ["SNAPSHOT state", words(numbers.SNAPSHOT_STATE)],
        ["MIGRATION way", words(numbers.MIGRATION_WAY)],
        ["CMD_INPUT kind", words(numbers.INPUT_KIND)],
        ["CMD_LEASE_CLAIM flags (bits)", "1 wait until it is given back"],
        ["CMD_MEMWRITE flags (bits)", words(numbers.MEMWRITE_FLAG)],
        [
          "MEMCTX guestOs",
          ["0 unknown", ...SYSTEMS.map(({ name, number }) => `${number} ${name}`)].join(", "),
        ],
        ["MEMCTX_INVALIDATED reason", words(numbers.INVALIDATED)],
        ["ROSTER state", words(numbers.ROSTER_STATE)],
        ["VGPU_STATUS state", words(numbers.VGPU_STATE)],
        ["FRAME_INFO source", words(numbers.FRAME_SOURCE)],
        ["FRAME_INFO flags (bits)", `${numbers.FRAME_STOPPED} the VM does not run`],
        ["CMD_FRAME op", words(numbers.FRAME_OP)],
        [
          "FRAME_DEMAND flags (bits)",
          `${numbers.DEMAND_STOPPED} the VM does not run, ${numbers.DEMAND_PICTURE} somebody waits for a picture, ${numbers.DEMAND_TEXT} somebody waits for the text, from bit ${numbers.DEMAND_DEVICE_SHIFT} on how often the head's device became another one`,
        ],
        ["CMD_DISPLAY op", words(numbers.DISPLAY_OP)],
        ["CMD_CONSOLE op", words(numbers.CONSOLE_OP)],
        [
          "CMD_CONSOLE flags (bits)",
          `${numbers.CONSOLE_FROM_NOW} from the next byte on, ${numbers.CONSOLE_LOSSLESS} lose no bytes`,
        ],
        ["CONSOLE_OUT flags (bits)", `${numbers.CONSOLE_CLOSED} the console is closed`],
        ["CMD_AGENT mode of shutdown", words(AGENT_SHUTDOWN)],
      ]),
  },
  "src/vgpu/REGION.md": {
    header: () => layoutTable(region.REGION_FIELDS, 3),
    slot: () => layoutTable(region.SLOT_FIELDS, 2),
    control: () => layoutTable(region.CONTROL_FIELDS, 2),
    "region-numbers": () =>
      named("where", [
        ["status", words(region.PRODUCER_STATUS)],
        ["backend", words(region.BACKEND)],
        ["desiredState", words(region.COMMAND)],
        ["cursorId", words(region.CURSOR_ID)],
        ["format", words(PIXEL_FORMAT)],
      ]),
  },
  "src/v2v/RING.md": {
    header: () => layoutTable(ring.HEADER_FIELDS, 4),
    control: () => layoutTable(ring.CONTROL_FIELDS, 0),
  },
};

/** A page with its tables as they are made now. */
export function remade(page: string, text: string): string {
  const out: string[] = [];
  const left = new Set(Object.keys(TABLES[page] ?? {}));
  let inside = false;
  for (const line of text.split("\n")) {
    if (line === END) inside = false;
    if (!inside) out.push(line);
    const name = BEGIN.exec(line)?.[1];
    if (name === undefined) continue;
    const make = TABLES[page]?.[name];
    if (make === undefined) throw new Error(`${page} asks for a table ${name} that nobody makes`);
    left.delete(name);
    out.push("", make(), "");
    inside = true;
  }
  if (left.size > 0) throw new Error(`${page} has no place for the tables ${[...left].join(", ")}`);
  return out.join("\n");
}

if (import.meta.main) {
  let differs = 0;
  for (const page of Object.keys(TABLES)) {
    const path = new URL(page, ROOT);
    const text = Deno.readTextFileSync(path);
    const made = await formatted(remade(page, text));
    if (made === text) continue;
    if (Deno.args.includes("--write")) {
      Deno.writeTextFileSync(path, made);
      continue;
    }
    const [had, has] = [text.split("\n"), made.split("\n")];
    const at = has.findIndex((line, i) => line !== had[i]);
    console.error(
      `${page}:${at + 1}: differs from what the code says; deno run -A scripts/build/pages.ts --write`,
    );
    console.error(`  has  ${had[at] ?? "(end)"}\n  made ${has[at] ?? "(end)"}`);
    differs++;
  }
  if (differs > 0) Deno.exit(1);
  console.log(`pages: ${Object.keys(TABLES).length} as the code says`);
}

/** As `deno fmt` lays Markdown out, so that the gate's two checks agree. */
async function formatted(text: string): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--ext", "md", "--config", new URL("deno.json", ROOT).pathname, "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
  const child = command.spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  if (!success) throw new Error(`Cannot format: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
