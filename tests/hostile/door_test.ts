/**
 * Attacks on the door: the control socket of a real daemon, as root, by real other users.
 */
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { type Answer, DoorPeer, MEMBER, OTHER, runPeer, STRANGER } from "./door_peer.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const REFUSED = 98;
const WELCOME = 97;
// deno-lint-ignore no-control-regex
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u202e]/;
const rule = (uid: number): string => `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\n`;
const RULES = `${rule(0)}${rule(MEMBER)}${rule(OTHER)}`;

async function withDaemon(
  options: { config?: string; wrapper?: readonly string[]; folder?: string },
  use: (daemon: DaemonProcess) => Promise<void>,
): Promise<void> {
  await using daemon = await DaemonProcess.start({ config: RULES, stubs: 1, ...options });
  await Deno.chmod(daemon.folder, 0o755);
  await use(daemon);
}

/** An admitted control that asks all the while. */
async function pinging(daemon: DaemonProcess, attack: () => Promise<void>): Promise<void> {
  await using client = await daemon.connect("witness");
  let isOver = false;
  let answers = 0;
  const ask = async (): Promise<void> => {
    while (!isOver) {
      await client.vmState("stub0");
      answers++;
    }
  };
  const asking = ask();
  asking.catch(() => {}); // told below
  try {
    await attack();
    const before = answers;
    await until("the others are served", () => answers > before + 10);
  } finally {
    isOver = true;
    await asking;
  }
}

Deno.test("whatever a HELLO holds: that peer is answered, and everybody else is served", async () => {
  await withDaemon({}, async (daemon) => {
    await pinging(daemon, async () => {
      const answers = await runPeer<Record<string, Answer>>(MEMBER, daemon.socket, "bodies");
      const { good, ...odd } = answers;
      assertEquals(good?.[0], WELCOME);
      for (const [name, [kind, code, text = ""]] of Object.entries(odd)) {
        assertEquals(kind, REFUSED, `${name} is refused, and hears it`);
        assert(code === 13 || code === 15, `${name}: protocol-error or not-supported, not ${code}`);
        assert(text.length <= 600, `${name}: the reason is short, not ${text.length} characters`);
        assert(
          !UNPRINTABLE.test(text.slice(text.search(/HELLO|this daemon|uid/))),
          `${name}: ${JSON.stringify(text)}`,
        );
      }
      const strangers = await runPeer<Record<string, Answer>>(STRANGER, daemon.socket, "bodies");
      for (const [name, [kind, code]] of Object.entries(strangers)) {
        assertEquals([kind, code], [REFUSED, 17], `${name}: a stranger is told that it is one`);
      }
    });
    assert(!UNPRINTABLE.test(daemon.logText.replaceAll("\n", "")), "nothing of it reaches a terminal");
    for (const line of daemon.logText.split("\n")) assert(line.length < 1500, line);
    assertEquals(await daemon.metric('vmsig_contained_faults_total{place="descriptor"}'), 0);
    assertEquals((await daemon.stop()).code, 0);
  });
});

Deno.test("1,024 silent connections of a stranger, then of a member, keep nobody else out", async () => {
  await withDaemon({}, async (daemon) => {
    for (const uid of [STRANGER, MEMBER]) {
      await using _holder = DoorPeer.start(uid, daemon.socket, "hold", "1024");
      await _holder.said();
      for (const guest of [OTHER, 0]) {
        const [kind] = await runPeer<Answer>(guest, daemon.socket, "join");
        assertEquals(kind, WELCOME, `uid ${guest} gets in past uid ${uid}`);
      }
      const waiting = await daemon.metric("vmsig_greeting_peers");
      assert(waiting <= 64, `${waiting} of one user stand at the door`);
    }
    assertEquals((await daemon.stop()).code, 0);
  });
});

Deno.test("a flood of a stranger leaves a log that can be read, and it is told how many there were", async () => {
  await withDaemon({}, async (daemon) => {
    const from = daemon.logText.length;
    const { count, seen } = await runPeer<{ count: number; seen: Record<string, number> }>(
      STRANGER,
      daemon.socket,
      "flood",
      "3",
    );
    assertEquals(seen, { "[98, 17]": count });
    await daemon.says(/more peers were refused within a second/, from);
    const log = daemon.logText.slice(from);
    assert(log.length < 40_000, `${log.length} bytes for ${count} connections`);
    const refused = log.split("\n").filter((line) => /socket: refused/.test(line)).length;
    assert(refused <= 5 * 6, `${refused} lines of the door's`);
    assert(await daemon.metric("vmsig_refused_peers_total") >= count);
  });
});

Deno.test("a stranger that fills the backlog without ever waiting keeps nobody else out", async () => {
  await withDaemon({}, async (daemon) => {
    await using filler = DoorPeer.start(STRANGER, daemon.socket, "fill");
    assertEquals(await filler.said(), "fills");
    await until(
      "it is turned away in heaps",
      async () => await daemon.metric("vmsig_refused_peers_total") > 2000,
    );
    for (const guest of [OTHER, 0]) {
      assertEquals((await runPeer<Answer>(guest, daemon.socket, "join"))[0], WELCOME, `uid ${guest} gets in`);
    }
    // The house's own client does not wait in connect, but tries again.
    await using client = await daemon.connect("late");
    await client.vmState("stub0");
  });
});

Deno.test("descriptors whose close waits for an hour do not stop the loop", async () => {
  await withDaemon({}, async (daemon) => {
    for (const uid of [STRANGER, MEMBER]) {
      await pinging(daemon, async () => {
        await using peer = DoorPeer.start(uid, daemon.socket, "linger");
        assertEquals(await peer.said(), "made");
        await stopProcess(daemon.pid);
        try {
          await peer.goOn();
          assertEquals(await peer.said(), "sent");
        } finally {
          daemon.kill("SIGCONT");
        }
        await peer.goOn();
        const answers = await peer.said<Answer[]>();
        assertEquals(answers.length, 4);
        for (const [kind] of answers) assertNotEquals(kind, "closed", "each is told something");
        const [kind] = await runPeer<Answer>(OTHER, daemon.socket, "join");
        assertEquals(kind, WELCOME);
      });
    }
    assertEquals((await daemon.stop()).code, 0);
  });
});

Deno.test("out of descriptors: strangers are turned away, root gets in, rules by name stay, and it goes on", async () => {
  const name = "nobody";
  const uid = 65534;
  const config = `[[admission]]\nuser = "${name}"\nendpoints = ["*"]\ncaps = ["observe"]\n${RULES}`;
  await withDaemon({ config, wrapper: ["prlimit", "--nofile=96:96"] }, async (daemon) => {
    assertEquals((await runPeer<Answer>(uid, daemon.socket, "join"))[0], WELCOME);
    await using client = await daemon.connect("witness");
    {
      // As many as there are descriptors, by two users; each may have 64 places.
      await using first = DoorPeer.start(MEMBER, daemon.socket, "hold", "60");
      await using second = DoorPeer.start(OTHER, daemon.socket, "hold", "60");
      await first.said();
      await second.said();
      await daemon.says(/cannot accept/);
      await client.vmState("stub0");
      assertEquals((await runPeer<Answer>(0, daemon.socket, "join"))[0], WELCOME, "root gets in");
      await client.vmState("stub0");
      // Whoever asks for the metrics meanwhile may get none, and does no harm.
      const asked = await Deno.connect({ transport: "unix", path: `${daemon.folder}/metrics.sock` });
      await asked.write(new TextEncoder().encode("GET /metrics HTTP/1.1\r\nhost: vmsig\r\n\r\n"));
      asked.close();
      // A look at the tables of users while there is no descriptor: by one who is let in by name.
      for (let i = 0; i < 3; i++) {
        const [kind, code] = await runPeer<Answer>(uid, daemon.socket, "join");
        assert(
          kind === WELCOME || code === 18,
          `${name} is admitted, and busy is all that it may hear: ${kind} ${code}`,
        );
        await new Promise((resolve) => setTimeout(resolve, 600));
      }
    }
    await until("there is room again", async () => {
      const [kind] = await runPeer<Answer>(uid, daemon.socket, "join");
      return kind === WELCOME && /accepts again/.test(daemon.logText);
    });
    assert(await daemon.metric("vmsig_accept_shortages_total") > 0);
    assertEquals(daemon.logText.match(/cannot accept/g)?.length, 1, "told once");
    await until("the log tells it", () => daemon.logText.includes("LimitNOFILE"));
    await client.vmState("stub0");
    assertEquals((await daemon.stop()).code, 0);
  });
});
