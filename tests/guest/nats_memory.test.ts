/**
 * Questions about a real guest's memory, one after another without a pause, from another host: meanwhile the
 * host's heartbeats are there, and another person's commands are answered while a question is being read.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertMatch } from "@std/assert";
import { Kvm } from "@nats-io/kv";
import { connect } from "../../src/client/mod.ts";
import { bytesOfBase64 } from "../../src/mcp/base64.ts";
import { RemoteBus } from "../../src/nats/reader/remote_bus.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { ROSTER_BUCKET } from "../../src/nats/wire/subjects.ts";
import { DaemonProcess, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { NatsServer } from "../fixtures/nats_server.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Reached by a hang alone. */
const timeoutMs = 120_000;
const BEATS = 3;

const rule = (who: string, more = "") =>
  `[[admission]]\n${who}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 10\n${more}\n`;

Deno.test({
  name: "nats: while a guest's memory is read for one person, the host beats and serves another",
  fn: async () => {
    await using vm = await startSavedGuest();
    const rules = rule(`uid = ${Deno.uid()}`, 'speaks_for = ["nats:*"]') + rule('nats = "alice"') +
      rule('nats = "bob"');
    const config = `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\n${rules}`;
    await using daemon = await DaemonProcess.start({ config });
    await using server = await NatsServer.start();
    await vmsig(["join", server.url, "--create", "--creds", server.creds("admin"), "--as", "admin"]);
    await using _rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
    await using bob = await connect({ name: "bob", nats: server.options("bob") });
    await bob.completeRoster();
    const endpoint = await bob.endpoint("rack1/vm");
    await bob.leaseStatus(endpoint, "input", { timeoutMs });

    const ignore = (): void => {};
    const listener = { onFrame: ignore, onEvent: ignore, onEndpoint: ignore, onPicture: ignore };
    await using alice = await RemoteBus.open(server.options("alice"), "memory", listener);
    await alice.settled();
    const number = alice.numberOf("rack1/vm");
    assert(number !== undefined);

    await using watching = await NatsLink.open(server.options("alice"), "beats");
    const beats: number[] = [];
    const watch = await (await new Kvm(watching.nc).open(ROSTER_BUCKET)).watch();
    void (async () => {
      for await (const { key } of watch) if (key === "rack1") beats.push(performance.now());
    })();

    let isOver = false;
    let asked = 0;
    let longestMs = 0;
    const answered: string[] = [];
    const ask = async (): Promise<void> => {
      while (!isOver) {
        const begun = performance.now();
        asked++;
        const answer = await alice.askMemory(number, { words: ["ps"], options: {}, json: false }, timeoutMs);
        longestMs = Math.max(longestMs, performance.now() - begun);
        answered[0] = new TextDecoder().decode(bytesOfBase64(String(answer["bytes"])));
      }
    };
    // Two at once: the thread goes from one to the next.
    const asking = Promise.all([ask(), ask()]);
    const times: number[] = [];
    let within = 0;
    while (beats.length < BEATS || within === 0) {
      const before = asked;
      const begun = performance.now();
      await bob.leaseStatus(endpoint, "input", { timeoutMs });
      times.push(performance.now() - begun);
      // No question was answered between this command and its answer, or the next one would have been asked.
      if (answered.length > 0 && before === asked) within++;
    }
    isOver = true;
    await asking;
    watch.stop();
    assertMatch(answered[0] ?? "", /^ *1 .*init/m);
    times.sort((a, b) => a - b);
    const gaps = beats.slice(1).map((at, i) => at - (beats[i] as number));
    console.log(
      `${asked} questions, the longest ${longestMs.toFixed(0)} ms; ${times.length} commands of another, ` +
        `${within} within one question, p50 ${times[times.length >> 1]?.toFixed(2)} ms, longest ${
          times.at(-1)?.toFixed(0)
        } ms; the host's beats are at most ${Math.max(...gaps).toFixed(0)} ms apart`,
    );
  },
});
