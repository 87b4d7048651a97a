/**
 * A monitor that is the client of its socket, against scripted QEMUs that connect: who is let in, when, and
 * what becomes of the socket.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openFdCount } from "../../../../ffi/owned_fd.ts";
import { VmhostAdapter } from "../../../../src/adapters/vmhost/vmhost_adapter.ts";
import { Log } from "../../../../src/base/log.ts";
import { SEAM_REASON } from "../../../../src/event/body_number.ts";
import { ListenTransport } from "../../../../src/qemu/monitor/listen_transport.ts";
import { PeerTrust } from "../../../../src/qemu/monitor/peer_trust.ts";
import { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

interface Place {
  readonly rig: AdapterRig;
  readonly link: QmpLink;
  readonly folder: string;
  /** Where vmsig listens. */
  readonly path: string;
  readonly lines: readonly string[];
  readonly trust: PeerTrust;
  /** A QEMU that has connected to nobody yet. */
  readonly qemu: () => ScriptedQmp;
}

/** Stands for the uid of this process in the rule. */
let isOwnTrusted = true;

async function inPlace(
  body: (place: Place) => Promise<void>,
  prepare: (path: string) => void = () => {},
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-listen-" });
  const before = openFdCount();
  const qemus: ScriptedQmp[] = [];
  isOwnTrusted = true;
  try {
    const path = `${folder}/web.qmp`;
    prepare(path);
    const lines: string[] = [];
    const log = new Log("test", "info", (line) => lines.push(line));
    const trust = new PeerTrust([], () => isOwnTrusted);
    let link: QmpLink | undefined;
    using rig = new AdapterRig((loop) => {
      link = new QmpLink({ path: new ListenTransport(path, { loop, log, trust }), loop, log });
      return new VmhostAdapter(link);
    });
    rig.open();
    assert(link !== undefined);
    const qemu = () => {
      const made = new ScriptedQmp(`${folder}/q${qemus.length}`);
      qemus.push(made);
      return made;
    };
    await body({ rig, link, folder, path, lines, trust, qemu });
    const isOurs = link.state !== "pausing";
    await rig.close();
    assertEquals(isThere(path), !isOurs, "its own socket is removed with the endpoint, and nothing else");
  } finally {
    for (const qemu of qemus) await qemu[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
  assertEquals(openFdCount(), before, "no descriptor is left");
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function downs(rig: AdapterRig): unknown[] {
  return rig.of("SEAM_DOWN").map(({ fields }) => fields["reason"]);
}

function modeOf(path: string): number {
  return (Deno.statSync(path).mode ?? 0) & 0o777;
}

Deno.test("it listens for QEMU, is up while QEMU is connected, and waits for the next one", async () => {
  await inPlace(async ({ rig, link, path, qemu }) => {
    await rig.event("SEAM_DOWN");
    assertEquals([downs(rig), link.state, link.name], [
      [SEAM_REASON.PROCESS_GONE],
      "waiting",
      `listen:${path}`,
    ]);
    assertEquals(rig.of("ERROR")[0]?.fields["text"], "QEMU has not connected to its QMP socket");
    assertEquals([modeOf(path), rig.loop.armed], [0o600, 0], "no timer runs while it waits");
    const first = qemu();
    await first.dial(path);
    await rig.event("SEAM_UP");
    assertEquals([link.pid, link.monitorUid, link.passesDescriptors], [Deno.pid, Deno.uid() ?? -1, true]);
    first.hangUp();
    await rig.until("it is down", () => rig.of("SEAM_DOWN").length === 2);
    assertEquals(downs(rig)[1], SEAM_REASON.PEER_CLOSED);
    for (let i = 2; i <= 4; i++) {
      const next = qemu();
      await next.dial(path);
      await rig.until(`it is up the ${i}th time`, () => rig.of("SEAM_UP").length === i);
      next.hangUp();
      await rig.until("it is down", () => !link.isUp);
    }
  });
});

Deno.test("a second QEMU is refused and told once, and the first one stays", async () => {
  await inPlace(async ({ rig, link, path, lines, qemu }) => {
    await qemu().dial(path);
    await rig.event("SEAM_UP");
    const second = qemu();
    for (let i = 0; i < 3; i++) {
      await using peer = await Deno.connect({ transport: "unix", path });
      const end = peer.read(new Uint8Array(64));
      let isOver = false;
      void end.then(() => isOver = true, () => isOver = true);
      await rig.until("it is refused", () => isOver);
      assertEquals(await end, null);
    }
    const told = lines.filter((line) => line.includes("another QEMU is connected"));
    assertEquals([told.length, link.isUp, second.connections], [1, true, 0]);
  });
});

Deno.test("who is not trusted is refused and told once, and who becomes trusted is let in", async () => {
  await inPlace(async ({ rig, link, path, lines, trust, qemu }) => {
    await rig.event("SEAM_DOWN");
    isOwnTrusted = false;
    for (let i = 0; i < 3; i++) {
      const peer = qemu();
      await peer.dial(path);
      await rig.forMs(50);
    }
    const told = () => lines.filter((line) => line.includes("its user is not trusted"));
    await rig.until("it is told", () => told().length === 1);
    assertMatch(told()[0] ?? "", new RegExp(`uid=${Deno.uid()} pid=${Deno.pid}`));
    assertEquals(link.state, "waiting");
    trust.replace(["somebody"]);
    assertEquals(modeOf(path), 0o666, "others may open it, and the kernel tells who they are");
    trust.replace([]);
    assertEquals(modeOf(path), 0o600);
    isOwnTrusted = true;
    await qemu().dial(path);
    await rig.event("SEAM_UP");
    assertEquals(told().length, 1);
  });
});

Deno.test("who connects and is silent makes room for a QEMU; who speaks no QMP is put out", async () => {
  await inPlace(async ({ rig, link, path, qemu }) => {
    await rig.event("SEAM_DOWN");
    const mute = qemu();
    mute.greets = false;
    await mute.dial(path);
    await rig.until(
      "it is told",
      () => downs(rig).includes(SEAM_REASON.HEARTBEAT_STALE) || link.state === "held",
    );
    assert(
      rig.of("ERROR").some(({ fields }) => fields["text"] === "who connected does not greet as QMP does"),
    );
    await qemu().dial(path);
    await rig.event("SEAM_UP");
  });
  await inPlace(async ({ rig, link, path, qemu }) => {
    await rig.event("SEAM_DOWN");
    const stranger = qemu();
    stranger.greets = false;
    await stranger.dial(path);
    await stranger.say("220 mail.example ESMTP\r\n");
    await rig.until(
      "it is told",
      () => rig.of("ERROR").some(({ fields }) => fields["text"] === "what QMP sends is not QMP"),
    );
    await rig.until("it waits again", () => link.state === "waiting");
    await qemu().dial(path);
    await rig.event("SEAM_UP");
  });
});

/** Something at the path, and that it is refused for good reason and left alone. */
async function isInTheWay(prepare: (path: string) => void, remedy: RegExp): Promise<void> {
  await inPlace(async ({ rig, link, lines }) => {
    await rig.event("SEAM_DOWN");
    assertEquals([downs(rig), link.state], [[SEAM_REASON.NO_PERMISSION], "pausing"]);
    assertEquals(rig.of("ERROR")[0]?.fields["text"], "cannot listen for QEMU at the path");
    assertMatch(lines.find((line) => line.includes("cannot listen")) ?? "", remedy);
  }, prepare);
}

Deno.test("another's socket, another file and an open folder are in the way; a dead one's socket is not", async () => {
  let other: Deno.UnixListener | undefined;
  await isInTheWay(
    (path) => other = Deno.listen({ transport: "unix", path }),
    /another process listens there/,
  );
  other?.close();
  await isInTheWay((path) => Deno.writeTextFileSync(path, "mine"), /a file that is not a socket/);
  for (const mode of [0o777, 0o1777, 0o775]) {
    await inPlace(async ({ rig, path, lines }) => {
      await rig.event("SEAM_DOWN");
      assertMatch(lines.join("\n"), /others than root and uid \d+ may write in .*chmod 755/);
      assertEquals(isThere(path), false);
      // For the fixture, which expects something where it could not listen.
      Deno.writeTextFileSync(path, "");
    }, (path) => Deno.chmodSync(path.slice(0, path.lastIndexOf("/")), mode));
  }
  await inPlace(async ({ rig, path, qemu }) => {
    await rig.event("SEAM_DOWN");
    await qemu().dial(path);
    await rig.event("SEAM_UP");
  }, (path) => {
    const dead = Deno.listen({ transport: "unix", path: `${path}.dead` });
    Deno.renameSync(`${path}.dead`, path);
    dead.close();
  });
});

Deno.test("a socket that somebody removed is made again when the config is read, or QEMU is gone", async () => {
  await inPlace(async ({ rig, link, path, trust, qemu }) => {
    await rig.event("SEAM_DOWN");
    Deno.removeSync(path);
    trust.replace([]);
    const first = qemu();
    await first.dial(path);
    await rig.event("SEAM_UP");
    Deno.removeSync(path);
    first.hangUp();
    await rig.until("it waits again", () => link.state === "waiting");
    await qemu().dial(path);
    await rig.event("SEAM_UP", 2);
  });
});
