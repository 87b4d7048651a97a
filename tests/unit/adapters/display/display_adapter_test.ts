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
  /** The devices of QEMU's consoles, and of those that were plugged in. */
  devices: (string | undefined)[];
  plugged: { readonly id: string; readonly type: string }[] = [];
  readonly #dir: string;

  constructor(dir: string, heads = 1) {
    this.#dir = dir;
    this.devices = Array.from({ length: heads }, () => "gpu");
    this.peer = new ScriptedQmp(`${dir}/qmp.sock`);
    this.peer.script = ({ execute, arguments: args }) => {
      const path = String(args?.["path"] ?? "");
      switch (execute) {
        case "qom-list":
          if (heads === 0) return { error: "Device '/backend' not found" };
          return { value: this.devices.map((_, i) => ({ name: `console[${i}]`, type: "child<x>" })) };
        case "qom-get": {
          if (args?.["property"] === "type") {
            return { value: this.plugged.find(({ id }) => path.endsWith(`/${id}`))?.type };
          }
          const number = Number(/\d+/.exec(path)?.[0]);
          const device = this.devices[number];
          if (args?.["property"] === "head") return { value: device === "gpu" ? number : 0 };
          return {
            value: device === undefined
              ? ""
              : device === ""
              ? "/machine/unattached/device[7]"
              : `/machine/peripheral/${device}`,
          };
        }
        case "query-pci":
          return {
            value: [{
              bus: 0,
              devices: [{ qdev_id: "net", class_info: { class: 0x200 } }, {
                qdev_id: "",
                class_info: { class: 0x604 },
                pci_bridge: {
                  devices: [...this.plugged.map(({ id }) => id), ...this.devices].map((id) => ({
                    qdev_id: id ?? "",
                    class_info: { class: 0x380 },
                  })),
                },
              }],
            }],
          };
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
    const probe = ["qom-list", "qom-get", "query-pci", "query-vnc", "query-display-options"];
    return this.peer.orders.map(({ execute }) => execute).filter((name) => !probe.includes(name));
  }

  frame(op: number, head = 0, perSecond = 0, control = 1): number {
    return this.rig.command(KIND.CMD_FRAME, (event) => {
      event.origin = control as ControlId;
      event.words[FRAME_REQUEST.at.op / 4] = op;
      event.words[FRAME_REQUEST.at.head / 4] = head;
      event.words[FRAME_REQUEST.at.perSecond / 4] = perSecond;
    });
  }

  display(
    op: number,
    fields: { serial?: number; code?: number; source?: number; words?: string; fd?: number; head?: number },
  ): number {
    return this.rig.command(KIND.CMD_DISPLAY, (event) => {
      const { at } = DISPLAY_REQUEST;
      event.origin = MAKER;
      event.words[at.op / 4] = op;
      event.words[at.head / 4] = fields.head ?? 0;
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
  // QEMU is asked once more whether there is such a head; right after that it is not.
  const beyond = it.frame(FRAME_OP.ONCE, 1);
  assertEquals(it.code(beyond), undefined);
  const answer = await it.rig.answered(beyond);
  assertEquals([answer.code, answer.words], [CODE["bad-argument"], "the VM has 1 head"]);
  assertEquals(it.code(it.frame(FRAME_OP.WATCH, 1, 5)), CODE["bad-argument"]);
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

/** Waits until QEMU was asked for its displays after an event, from the first question to the last. */
async function looked(it: Scene, event: string): Promise<void> {
  const asked = (command: string) => it.peer.orders.filter(({ execute }) => execute === command).length;
  // A look that is under way by then, because of something earlier, does not count.
  const before = asked("qom-list");
  await it.peer.event(event);
  await it.rig.until("another look, to its end", () => {
    const looks = asked("qom-list");
    return looks > before && asked("query-display-options") === looks;
  });
  // Its answer comes before that of what is asked after it.
  await it.rig.answered(it.display(DISPLAY_OP.OPEN, { source: FRAME_SOURCE.VNC }));
}

Deno.test("display adapter: a head that is removed ends those who watch and who wait; numbers stay with their devices", async () => {
  const it = new Scene(await Deno.makeTempDir({ prefix: "vmsig-display-" }), 2);
  await using _ = it;
  it.devices = ["a", "b"];
  it.rig.open();
  await it.rig.event("SEAM_UP");
  for (const head of [0, 1]) assertEquals(it.code(it.frame(FRAME_OP.WATCH, head, 5)), CODE.ok);
  it.display(DISPLAY_OP.SOURCE, { source: FRAME_SOURCE.SCREENDUMP, head: 0 });
  const [first, second] = [it.frame(FRAME_OP.ONCE, 0), it.frame(FRAME_OP.TEXT, 1)];
  const before = it.demand;
  it.devices = [undefined, "b"];
  await looked(it, "DEVICE_DELETED");
  const answer = it.rig.answer(first);
  assertEquals([answer?.code, answer?.words], [CODE["bad-argument"], "its device was removed"]);
  assertEquals(it.code(second), undefined, "the other one waits on");
  const errors = it.rig.of("ERROR").map(({ fields }) => [fields["code"], fields["detail"], fields["text"]]);
  assertEquals(errors, [[CODE["bad-argument"], 0, "its device was removed"]]);
  assertEquals([it.demand["perSecond"], it.demand["watchers"]], [0, 0]);
  assertEquals([Number(before["flags"]) >>> 16, Number(it.demand["flags"]) >>> 16], [0, 1]);
  assertEquals(it.rig.of("SEAM_DOWN"), []);
  assertEquals(it.code(it.display(DISPLAY_OP.DUMP, { head: 0 })), CODE["seam-down"]);
  // A dump that QEMU refuses has it asked again, and so has who wants what is not there.
  const again = await it.rig.answered(it.frame(FRAME_OP.ONCE, 0));
  assertEquals([again.code, again.words], [CODE["bad-argument"], "its device was removed"]);
  it.devices = [undefined, undefined];
  it.plugged = [{ id: "host", type: "vfio-pci-nohotplug" }, { id: "c", type: "secondary-vga" }];
  await looked(it, "RESET");
  assertEquals(it.code(second), CODE["bad-argument"]);
  assertEquals(it.code(it.frame(FRAME_OP.WATCH, 0, 5)), CODE.ok, "what was plugged in has the free number");
  assertEquals(it.code(it.frame(FRAME_OP.WATCH, 1, 5)), CODE["bad-argument"]);
  it.plugged = [];
  await looked(it, "DEVICE_DELETED");
  assertEquals(it.rig.of("SEAM_DOWN").length, 1);
  assertEquals(it.code(it.frame(FRAME_OP.ONCE, 0)), CODE["not-supported"]);
});

Deno.test("display adapter: a removed head whose pictures a producer makes goes on; a lost monitor answers who asked after another", async () => {
  await using it = await scene();
  it.frame(FRAME_OP.WATCH, 0, 5);
  it.display(DISPLAY_OP.SOURCE, { source: FRAME_SOURCE.VGPU });
  it.devices = [undefined];
  await looked(it, "DEVICE_DELETED");
  assertEquals([it.demand["watchers"], it.rig.of("ERROR"), it.rig.of("SEAM_DOWN")], [1, [], []]);
  const unknown = it.frame(FRAME_OP.ONCE, 3);
  it.peer.hangUp();
  assertEquals((await it.rig.answered(unknown)).code, CODE["seam-down"]);
});

Deno.test("display adapter: of heads without an id only QEMU's first console can be dumped; codes of the wire are checked", async () => {
  const it = new Scene(await Deno.makeTempDir({ prefix: "vmsig-display-" }), 2);
  await using _ = it;
  it.devices = ["", ""];
  it.rig.open();
  await it.rig.event("SEAM_UP");
  using file = createMemfd("picture", 0);
  using writeEnd = reopen(file.fd, OPEN.WRITE_ONLY);
  const fields = { fd: writeEnd.fd };
  assertEquals((await it.rig.answered(it.display(DISPLAY_OP.DUMP, fields))).code, CODE.ok);
  assertEquals(it.peer.orders.at(-1)?.arguments, { filename: "/dev/fdset/3" });
  const other = await it.rig.answered(it.display(DISPLAY_OP.DUMP, { ...fields, head: 1 }));
  assertEquals([other.code, other.words], [
    CODE["not-supported"],
    "its display device has no id (-device …,id=NAME)",
  ]);
  const waiting = it.frame(FRAME_OP.ONCE);
  for (const code of [19, 255, 0xffff_ffff]) {
    assertEquals(
      it.code(it.display(DISPLAY_OP.SERVED, { serial: 1, code })),
      CODE["bad-argument"],
      `${code}`,
    );
    assertEquals(it.code(it.display(DISPLAY_OP.SOURCE, { code })), CODE["bad-argument"], `${code}`);
  }
  assertEquals(it.code(it.display(DISPLAY_OP.SOURCE, { code: 0 })), CODE["bad-argument"], "without a reason");
  assertEquals([it.code(waiting), it.rig.of("SEAM_DOWN")], [undefined, []]);
});
