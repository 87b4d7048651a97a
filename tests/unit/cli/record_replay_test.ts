/** Recording a scripted daemon, and playing that recording to a client over a real core. */
import type { EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import { wholeShim } from "../../../ffi/shim.ts";
import { Fault } from "../../../src/base/fault.ts";
import { SILENT } from "../../../src/base/log.ts";
import { connect } from "../../../src/client/connect.ts";
import { listConsoles } from "../../../src/client/console_control.ts";
import { RecordingFile } from "../../../src/client/record/recording_file.ts";
import { replay } from "../../../src/daemon/replay_daemon.ts";
import { planReplay } from "../../../src/daemon/replay_plan.ts";
import {
  encodeRecordedEvent,
  encodeRecordingHeader,
  type RecordedEvent,
} from "../../../src/event/recording.ts";

// Loaded here and not in a test: older Deno takes a library that a test loads for a leak.
wholeShim();

const MS = 1_000_000;
const START = 1000 * MS;

function event(
  kind: number,
  atMs: number,
  words: number[] = [],
  more: Partial<RecordedEvent> = {},
): RecordedEvent {
  const inline = new Uint8Array(48);
  words.forEach((word, i) => new DataView(inline.buffer).setUint32(4 * i, word, true));
  return {
    kind,
    source: 5,
    prio: 3,
    endpoint: 7 as EndpointId,
    seq: 0,
    corr: 0,
    tsNs: START + atMs * MS,
    inline,
    bodyFormat: 0,
    body: new Uint8Array(0),
    fds: 0,
    ...more,
  };
}

function recording(events: readonly RecordedEvent[], seams = ["vmhost", "input"]): Uint8Array {
  const header = encodeRecordingHeader({
    host: { name: "h", kernel: "k" },
    versions: {},
    startedAt: "",
    startedNs: START,
    roster: [{
      endpoint: 7 as EndpointId,
      name: "web",
      state: "up",
      seams,
      pid: 1,
      vmid: 0,
    }],
  });
  return Uint8Array.from([header, ...events.map(encodeRecordedEvent)].flatMap((part) => [...part]));
}

Deno.test("a plan keeps the order, never turns the time back, and leaves out what cannot be played", () => {
  const late = new Uint8Array(48);
  late.set(new TextEncoder().encode("late"), 16);
  const plan = planReplay(
    recording([
      event(49, -500),
      event(49, 10, [1]),
      event(49, 5, [0]),
      event(48, 11, [], { corr: 3 }),
      event(77, 12, [], { fds: 1 }),
      event(80, 13, [], { endpoint: 9 as EndpointId, source: 4, inline: late }),
      event(1, 14, [], { endpoint: 9 as EndpointId }),
      event(84, 15, [], { source: 4, endpoint: 0xffffffff as EndpointId }),
      event(37, 20, [], { source: 1 }),
    ]),
    "x",
  );
  assertEquals(plan.steps.map((step) => [step.event.kind, step.event.endpoint, step.dueNs / MS]), [
    [49, 7, 0],
    [49, 7, 10],
    [49, 7, 10],
    [1, 9, 14],
    [37, 7, 20],
  ]);
  assertEquals(plan.skipped, 4);
  assertEquals(plan.leftOut, [
    { kind: 48, reason: "answer", count: 1 },
    { kind: 77, reason: "descriptors", count: 1 },
    { kind: 80, reason: "bus", count: 1 },
    { kind: 84, reason: "bus", count: 1 },
  ]);
  assertEquals(plan.endpoints.map(({ name, seams }) => [name, [...seams]]), [
    ["web", [[5, true], [2, true], [1, false]]],
    ["late", [[5, false]]],
  ]);
});

Deno.test("what is no recording is refused, one that was cut off is played up to there", () => {
  const fault = assertThrows(() => planReplay(new TextEncoder().encode("hello"), "f.cbor"), Fault) as Fault;
  assertEquals(fault.code, "bad-argument");
  assertStringIncludes(fault.message, "Cannot replay f.cbor");
  const whole = recording([event(49, 1), event(49, 2)]);
  const plan = planReplay(whole.subarray(0, whole.length - 1), "x");
  assertEquals(plan.steps.length, 1);
  assertStringIncludes(plan.defect ?? "", "cut off");
});

Deno.test("a control sees what was recorded, and its commands are answered", async () => {
  const before = openFdCount();
  const directory = await Deno.makeTempDir();
  try {
    const socketPath = `${directory}/replay.sock`;
    const ready = Promise.withResolvers<void>();
    const ending = new AbortController();
    const playing = replay({
      ...{ plan: planReplay(recording([event(49, 0, [1, 1])]), "x"), socketPath, speed: 1, stays: true },
      ...{ log: SILENT, signal: ending.signal, onReady: ready.resolve },
    });
    await ready.promise;
    await using client = await connect({ socket: socketPath, name: "tester" });
    const stream = client.events({ kinds: ["VM_LIFECYCLE"] });
    assertEquals(client.roster.nameOf(await client.endpoint("web")), "web");
    const first = (await stream.next()).value;
    assertEquals(first.as("VM_LIFECYCLE"), { state: 1, detail: 1, migration: 0 });
    assertEquals(await client.vmState("web"), { state: "paused", detail: "host-request" });
    await client.vm("web", "stop");
    {
      await using _lease = await client.acquire("web", "power");
      await client.vm("web", "reset");
    }
    assertEquals((await client.held("web")).entries, []);
    ending.abort();
    assertEquals(await playing, 1);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a recording is played at the speed asked for, and takes its end with it", async () => {
  const before = openFdCount();
  const directory = await Deno.makeTempDir();
  try {
    const socketPath = `${directory}/replay.sock`;
    const plan = planReplay(
      recording([event(49, 0, [1, 1]), event(49, 2000, [5, 4]), event(2, 2400, [5])]),
      "x",
    );
    const ready = Promise.withResolvers<void>();
    const playing = replay({
      plan,
      socketPath,
      speed: 4,
      log: SILENT,
      signal: new AbortController().signal,
      onReady: ready.resolve,
    });
    await ready.promise;
    const beforeNs = monotonicClock.nowNs();
    await using client = await connect({ socket: socketPath, name: "tester" });
    const stream = client.events({ kinds: ["VM_LIFECYCLE", "SEAM_DOWN"] });
    const first = (await stream.next()).value;
    assertEquals(first.as("VM_LIFECYCLE"), { state: 1, detail: 1, migration: 0 });
    const second = (await stream.next()).value;
    assertEquals(second.as("VM_LIFECYCLE"), { state: 5, detail: 4, migration: 0 });
    // 2 s at four times the speed, from the moment at which the control joined.
    assert(second.tsNs - beforeNs >= 500 * MS, `${second.tsNs - beforeNs}`);
    assertEquals((await stream.next()).value.as("SEAM_DOWN")?.reason, 5);
    assertEquals(await playing, 3);
    await assertRejects(() => client.vmState("web"), Fault);
    await client.close();
    assertEquals([...Deno.readDirSync(directory)].length, 0, "the socket is gone");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a replay waits for its first control, and can be ended", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const aborter = new AbortController();
    const playing = replay({
      plan: planReplay(recording([event(49, 0)]), "x"),
      socketPath: `${directory}/r.sock`,
      speed: 0,
      log: SILENT,
      signal: aborter.signal,
      onReady: () => setTimeout(() => aborter.abort(), 30),
    });
    assertEquals(await playing, 0);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("a recording is bounded: full files are kept as FILE.1, FILE.2, each with its header", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/r`;
    const bytes = (n: number) => new Uint8Array(n).fill(n);
    let headers = 0;
    {
      using file = new RecordingFile(path, { maxBytes: 100, keep: 2 }, () => {
        headers++;
        return bytes(10);
      });
      for (let n = 0; n < 9; n++) file.append(bytes(45));
      assertEquals(file.totalBytes, 9 * 45 + 5 * 10);
    }
    assertEquals(headers, 5);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), ["r", "r.1", "r.2"]);
    assertEquals(Deno.readFileSync(`${path}.1`).length, 100);
    assertEquals(Deno.readFileSync(`${path}.1`).subarray(0, 10), bytes(10));
    assertEquals(Deno.readFileSync(path).length, 55);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("with nothing kept a full file is begun anew; a disk that is full is told", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/r`;
    {
      using file = new RecordingFile(path, { maxBytes: 20, keep: 0 }, () => new Uint8Array(1));
      for (let n = 0; n < 5; n++) file.append(new Uint8Array(15));
    }
    assertEquals([...Deno.readDirSync(directory)].length, 1);
    assertEquals(Deno.readFileSync(path).length, 16);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
  const bounds = { maxBytes: 100, keep: 1 };
  assertThrows(
    () => new RecordingFile("/dev/full", bounds, () => new Uint8Array(5)),
    Fault,
    "Cannot write the recording /dev/full",
  );
  assertThrows(() => new RecordingFile("/nowhere/r", bounds, () => new Uint8Array(5)), Fault, "Cannot write");
});

Deno.test("replay to the end: exit code 0, and what was not played is told by kind and reason", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const path = `${directory}/r.cbor`;
    await Deno.writeFile(
      path,
      recording([
        event(49, 0, [1, 1]),
        event(48, 1, [], { corr: 3 }),
        event(77, 2, [], { fds: 1 }),
        event(77, 3, [], { fds: 1 }),
        event(49, 4, [0], { endpoint: 33 as EndpointId }),
      ]),
    );
    for (const json of [false, true]) {
      const socket = `${directory}/r.sock`;
      const child = new Deno.Command(Deno.execPath(), {
        args: [
          ...["run", "-A", "--no-check", new URL("../../../main.ts", import.meta.url).pathname],
          ...["replay", path, "--socket", socket, ...json ? ["--json"] : []],
        ],
        env: { NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const lines = child.stdout.pipeThrough(new TextDecoderStream());
      let said = "";
      const seen: (number | undefined)[] = [];
      for await (const text of lines) {
        const wasReady = said.includes(socket);
        said += text;
        if (wasReady || !said.includes(socket)) continue;
        await using client = await connect({ socket, name: "tester" });
        seen.push((await client.next({ kinds: ["VM_LIFECYCLE"] })).as("VM_LIFECYCLE")?.state);
      }
      const errors = await new Response(child.stderr).text();
      assertEquals([(await child.status).code, errors, seen], [0, "", [1]]);
      const told = said.trimEnd().split("\n").slice(1);
      if (json) {
        assertEquals(JSON.parse(told.join("")), {
          file: path,
          played: 1,
          skipped: 4,
          notPlayed: [
            { kind: "ACT_ACK", reason: "answer", count: 1 },
            { kind: "MEMCTX", reason: "descriptors", count: 2 },
            { kind: "VM_LIFECYCLE", reason: "endpoint", count: 1 },
          ],
        });
      } else {
        assertEquals(told.map((line) => line.trim().replace(/ +/g, " ")), [
          `${path}: 1 events played, 4 not:`,
          "1 ACT_ACK answers to commands of the recorded session",
          "2 MEMCTX came with file descriptors, which a file cannot hold",
          "1 VM_LIFECYCLE of an endpoint that could not be attached, or is not in the recording",
        ]);
      }
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("what is due on an endpoint that could not be attached is not counted as played", async () => {
  const directory = await Deno.makeTempDir();
  try {
    // Two endpoints of one name: the second is turned away.
    const header = encodeRecordingHeader({
      host: { name: "h", kernel: "k" },
      versions: {},
      startedAt: "",
      startedNs: START,
      roster: ([7, 8] as EndpointId[]).map((endpoint) => ({
        ...{ endpoint, name: "web", state: "up", seams: ["vmhost"], pid: 1, vmid: 0 },
      })),
    });
    const events = [event(49, 0, [1]), event(49, 1, [1], { endpoint: 8 as EndpointId })].map(
      encodeRecordedEvent,
    );
    const unplayed: number[] = [];
    const ready = Promise.withResolvers<void>();
    const socketPath = `${directory}/r.sock`;
    const playing = replay({
      plan: planReplay(Uint8Array.from([header, ...events].flatMap((part) => [...part])), "x"),
      socketPath,
      speed: 0,
      log: SILENT,
      signal: new AbortController().signal,
      onReady: ready.resolve,
      onUnplayed: ({ endpoint }) => unplayed.push(endpoint),
    });
    await ready.promise;
    await using _client = await connect({ socket: socketPath, name: "tester" });
    assertEquals(await playing, 1);
    assertEquals(unplayed, [8]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

/** Bytes of console 1, at a place. */
function said(text: string, place: number, atMs = 0): RecordedEvent {
  const body = new TextEncoder().encode(text);
  return event(124, atMs, [1, 0, place, 0, place + body.length], {
    source: 7,
    bodyFormat: 1,
    body,
    console: { label: "serial0", role: "serial" },
  });
}

/** Plays to a client until it is done with it. */
async function played(
  events: readonly RecordedEvent[],
  use: (client: Awaited<ReturnType<typeof connect>>) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  const ending = new AbortController();
  try {
    const socketPath = `${directory}/replay.sock`;
    const ready = Promise.withResolvers<void>();
    const playing = replay({
      plan: planReplay(recording(events, ["console"]), "x"),
      socketPath,
      speed: 1,
      stays: true,
      log: SILENT,
      signal: ending.signal,
      onReady: ready.resolve,
    });
    await ready.promise;
    {
      await using client = await connect({ socket: socketPath, name: "tester" });
      await use(client);
    }
    ending.abort();
    assertEquals(await playing, events.length);
  } finally {
    ending.abort();
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a console's bytes are read from a replay as from a daemon, at their places", async () => {
  await played([said("login: ", 5000), said("alice", 5007, 1)], async (client) => {
    await using console = await client.console("web", { port: 1, backlog: true });
    await console.expect("login: alice");
    assertEquals([console.lostBytes, console.place], [5000, 5012], "what was before the recording");
    const [entry] = await listConsoles(client, "web");
    assertEquals([entry?.number, entry?.label, entry?.role, entry?.open], [1, "serial0", "serial", true]);
    assertEquals([entry?.start, entry?.end], [5000, 5012]);
    await using late = await client.console("web", { port: 1, from: 5009 });
    assertEquals(new TextDecoder().decode(await late.read()), "ice");
    // Writing is answered with yes, as every command is.
    await console.send("x");
    const fault = await assertRejects(() => client.console("web", { port: 0 }), Fault);
    assertEquals((fault as Fault).code, "not-supported");
    assertStringIncludes(fault.message, "no output of console 0, but of 1");
  });
});

Deno.test("a recording without bytes of consoles says so to who asks for them", async () => {
  await played([], async (client) => {
    const fault = await assertRejects(() => client.console("web"), Fault);
    assertStringIncludes(fault.message, "recorded without --consoles");
    assertEquals(await listConsoles(client, "web"), []);
  });
});
