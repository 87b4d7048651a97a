// The display adapter over a scripted monitor: who wants what, what is asked of QEMU and what is not, and
// that each command is answered once.
import { assert, assertEquals } from "@std/assert";
import { createMemfd, OPEN, reopen } from "../../../../ffi/memfd.ts";
import { openFdCount } from "../../../../ffi/owned_fd.ts";
import { pipe } from "../../../../ffi/unix_socket.ts";
import { DisplayAdapter } from "../../../../src/adapters/display/display_adapter.ts";
import { CODE } from "../../../../src/base/codes.ts";
import type { ControlId } from "../../../../src/base/ids.ts";
import { DISPLAY_REQUEST, FRAME_REQUEST } from "../../../../src/event/body_layout.ts";
import { DISPLAY_OP, FRAME_OP, FRAME_SOURCE } from "../../../../src/event/body_number.ts";
import { KIND } from "../../../../src/event/kind.ts";
import { BODY } from "../../../../src/event/transfer_event.ts";
import { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

const MAKER = 9 as ControlId;

class Scene implements AsyncDisposable {
  readonly rig: AdapterRig;
  readonly peer: ScriptedQmp;
  wanted = 0;
  readonly #dir: string;

  constructor(dir: string, heads = 1) {
    this.#dir = dir;
    this.peer = new ScriptedQmp(`${dir}/qmp.sock`);
    this.peer.script = ({ execute, arguments: args }) => {
      const path = String(args?.["path"] ?? "");
      switch (execute) {
        case "qom-list":
          if (heads === 0) return { error: "Device '/backend' not found" };
          return {
            value: Array.from({ length: heads }, (_, i) => ({ name: `console[${i}]`, type: "child<x>" })),
          };
        case "qom-get":
          if (args?.["property"] === "head") return { value: Number(/\d+/.exec(path)?.[0]) };
          return { value: "/machine/peripheral/gpu" };
        case "query-vnc":
          return { value: { enabled: true } };
        case "query-display-options":
          return { value: { type: "none" } };
        case "add-fd":
          return { value: { fd: 7, "fdset-id": 3 } };
        default:
          return { value: {} };
      }
    };
    this.rig = new AdapterRig((loop) => {
      const link = new QmpLink({ path: this.peer.path, loop });
      return new DisplayAdapter({ link, display: "auto", onWanted: () => this.wanted++ });
    });
  }

  /** What was asked of QEMU, but for the question which displays there are. */
  get asked(): string[] {
    const probe = ["qom-list", "qom-get", "query-vnc", "query-display-options"];
    return this.peer.orders.map(({ execute }) => execute).filter((name) => !probe.includes(name));
  }

  frame(op: number, head = 0, perSecond = 0, control = 1): number {
    return this.rig.command(KIND.CMD_FRAME, (event) => {
      event.origin = control;
      event.words[FRAME_REQUEST.at.op / 4] = op;
      event.words[FRAME_REQUEST.at.head / 4] = head;
      event.words[FRAME_REQUEST.at.perSecond / 4] = perSecond;
    });
  }

  display(
    op: number,
    fields: { serial?: number; code?: number; source?: number; words?: string; fd?: number },
  ): number {
    return this.rig.command(KIND.CMD_DISPLAY, (event) => {
      const { at } = DISPLAY_REQUEST;
      event.origin = MAKER;
      event.words[at.op / 4] = op;
      event.words[at.serial / 4] = fields.serial ?? 0;
      event.words[at.code / 4] = fields.code ?? 0;
      event.words[at.source / 4] = fields.source ?? 0;
      if (fields.words !== undefined) event.setBody(BODY.RAW, new TextEncoder().encode(fields.words));
      if (fields.fd !== undefined) event.fds = [fields.fd];
    });
  }

  code(ticket: number): number | undefined {
    return this.rig.answer(ticket)?.code;
  }

  /** The newest FRAME_DEMAND of head 0. */
  get demand(): Record<string, unknown> {
    return this.rig.of("FRAME_DEMAND").filter(({ fields }) => fields["head"] === 0).at(-1)?.fields ?? {};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig.close();
    this.rig[Symbol.dispose]();
    await this.peer[Symbol.asyncDispose]();
    await Deno.remove(this.#dir, { recursive: true });
  }
}

async function scene(heads = 1): Promise<Scene> {
  const it = new Scene(await Deno.makeTempDir({ prefix: "vmsig-display-" }), heads);
  it.rig.open();
  if (heads > 0) await it.rig.event("SEAM_UP");
  else {await it.rig.until("the displays", () =>
      it.peer.orders.some(({ execute }) => execute === "query-display-options"));}
  return it;
}

Deno.test("display adapter: what is not wanted asks nothing; demand is the most that is wanted, and ends with who wanted it", async () => {
  await using it = await scene();
  assertEquals([it.asked, it.wanted], [[], 0]);
  assertEquals(it.code(it.frame(FRAME_OP.WATCH, 0, 0, 1)), CODE.ok);
  assertEquals(it.code(it.frame(FRAME_OP.WATCH, 0, 30, 2)), CODE.ok);
  assertEquals([it.demand["perSecond"], it.demand["watchers"], it.wanted > 0], [30, 2, true]);
  assertEquals(it.code(it.frame(FRAME_OP.UNWATCH, 0, 0, 2)), CODE.ok);
  assertEquals([it.demand["perSecond"], it.demand["watchers"]], [10, 1]);
  it.rig.adapter.controlGone?.(1 as ControlId);
  assertEquals([it.demand["perSecond"], it.demand["watchers"]], [0, 0]);
  assertEquals(it.asked, []);
});

Deno.test("display adapter: requests are answered by what began after them, once; bad ones at once", async () => {
  await using it = await scene();
  const first = it.frame(FRAME_OP.ONCE);
  const text = it.frame(FRAME_OP.TEXT);
  assertEquals([it.demand["onceSerial"], it.demand["textSerial"], it.demand["flags"]], [1, 1, 6]);
  const second = it.frame(FRAME_OP.ONCE);
  assertEquals(it.code(it.display(DISPLAY_OP.SERVED, { serial: 1 })), CODE.ok);
  assertEquals([it.code(first), it.code(second), it.code(text)], [CODE.ok, undefined, undefined]);
  it.display(DISPLAY_OP.SERVED, { serial: 2, code: CODE.refused, words: "no\x1b way" });
  assertEquals([it.code(second), it.rig.answer(second)?.words], [CODE.refused, "no\\x1b way"]);
  it.display(DISPLAY_OP.SERVED, { serial: 1, source: 1 });
  assertEquals(it.code(text), CODE.ok);
  it.display(DISPLAY_OP.SERVED, { serial: 2 });
  for (const ticket of [it.frame(9), it.frame(FRAME_OP.ONCE, 16), it.frame(FRAME_OP.WATCH, 0, 241)]) {
    assertEquals(it.code(ticket), CODE["bad-argument"]);
  }
  const beyond = it.frame(FRAME_OP.ONCE, 1);
  assertEquals([it.code(beyond), it.rig.answer(beyond)?.words], [CODE["bad-argument"], "the VM has 1 head"]);
});

Deno.test("display adapter: a VM without display has no seam, and says so", async () => {
  await using it = await scene(0);
  await it.rig.until("the answer", () => {
    const ticket = it.frame(FRAME_OP.ONCE);
    return it.code(ticket) === CODE["not-supported"];
  });
  assertEquals(it.rig.of("SEAM_UP"), []);
});

Deno.test("display adapter: a dump's file is handed over once, taken back with its control, and is a memfd", async () => {
  const before = openFdCount();
  {
    await using it = await scene();
    using file = createMemfd("picture", 0);
    using writeEnd = reopen(file.fd, OPEN.WRITE_ONLY);
    assertEquals(it.code(it.display(DISPLAY_OP.DUMP, {})), CODE["bad-argument"], "no file yet");
    const [read, write] = pipe();
    assertEquals(it.code(it.display(DISPLAY_OP.DUMP, { fd: write.fd })), CODE["bad-argument"], "a pipe");
    read.close();
    write.close();
    for (const fields of [{ fd: writeEnd.fd }, {}, {}]) {
      assertEquals((await it.rig.answered(it.display(DISPLAY_OP.DUMP, fields))).code, CODE.ok);
    }
    assertEquals(it.asked, ["add-fd", "screendump", "screendump", "screendump"]);
    assertEquals(it.peer.orders.at(-1)?.arguments, { filename: "/dev/fdset/3", device: "gpu", head: 0 });
    it.rig.adapter.controlGone?.(MAKER);
    await it.rig.until("the set is taken back", () => it.asked.at(-1) === "remove-fd");
    assertEquals(it.code(it.display(DISPLAY_OP.DUMP, {})), CODE["bad-argument"]);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("display adapter: the seam follows what the maker of pictures says, and the monitor", async () => {
  await using it = await scene(2);
  it.display(DISPLAY_OP.SOURCE, { source: FRAME_SOURCE.VNC, words: "because" });
  it.display(DISPLAY_OP.SOURCE, { source: 0, code: CODE["protocol-error"], words: "it lies" });
  assertEquals(it.rig.of("SEAM_DOWN"), [], "the other head was not tried yet");
  assertEquals(it.code(it.display(DISPLAY_OP.SOURCE, { source: 77 })), CODE["bad-argument"]);
  const waiting = it.frame(FRAME_OP.ONCE);
  it.peer.hangUp();
  const answer = await it.rig.answered(waiting);
  assertEquals(answer.code, CODE["seam-down"]);
  assert(it.rig.of("SEAM_DOWN").length === 1);
  await it.rig.event("SEAM_UP", 2);
});

Deno.test("display adapter: an opened display is one descriptor, and nothing else stays open", async () => {
  const before = openFdCount();
  {
    await using it = await scene();
    const opened = await it.rig.answered(it.display(DISPLAY_OP.OPEN, { source: FRAME_SOURCE.VNC }));
    assertEquals([opened.reply?.kind, it.asked], ["DISPLAY", ["getfd", "add_client"]]);
    it.peer.script = ({ execute }) => execute === "add_client" ? { error: "no" } : { value: {} };
    const refused = await it.rig.answered(it.display(DISPLAY_OP.OPEN, { source: FRAME_SOURCE.DBUS }));
    assertEquals([refused.code, refused.words], [CODE.refused, "no"]);
    await it.rig.until("what QEMU did not take is closed there", () => it.asked.at(-1) === "closefd");
    assertEquals(it.code(it.display(DISPLAY_OP.OPEN, { source: 1 })), CODE["bad-argument"]);
  }
  assertEquals(openFdCount(), before);
});
