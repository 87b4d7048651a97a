/**
 * Admission with real second users: the daemon runs as this one (root), its controls as others.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { configText, type DaemonOptions, DaemonProcess, until } from "../../fixtures/daemon_process.ts";
import { asUser, buildRelay, ForeignControl, type Identity, whyNotOthers } from "./foreign_control.ts";

const OBSERVER = 54_321;
const TYPIST = 54_322;
const STRANGER = 54_323;
const GROUP = 54_400;

const why = whyNotOthers();

/** A daemon whose folder others can reach, and the relay in it. */
async function open(options: DaemonOptions): Promise<DaemonProcess & { readonly relay: string }> {
  const daemon = await DaemonProcess.start(options);
  Deno.chmodSync(daemon.folder, 0o755);
  return Object.assign(daemon, { relay: buildRelay(daemon.folder) });
}

function others(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: why === "" ? name : `${name} (skipped: ${why})`, ignore: why !== "", fn });
}

/** What a user is told at the door: its caps, or the reason. */
async function knock(daemon: { relay: string; socket: string }, who: Identity): Promise<number | string> {
  await using control = new ForeignControl(daemon.relay, daemon.socket, who);
  const { kind, answer } = await control.hello();
  if (typeof answer === "string") return answer;
  return kind === KIND.WELCOME ? answer.caps as number : `${answer.code} ${answer.reason}`;
}

const RULES = `
[[admission]]
uid = ${OBSERVER}
endpoints = ["stub1"]
caps = ["OBSERVE", "ROSTER"]
[[admission]]
uid = ${OBSERVER}
endpoints = ["*"]
caps = ["*"]
[[admission]]
gid = ${GROUP}
endpoints = ["*"]
caps = ["INPUT"]
[[admission]]
user = "nobody"
endpoints = ["*"]
caps = ["ROSTER"]
[[admission]]
group = "daemon"
endpoints = ["*"]
caps = ["AUDIT"]
`;

others("the first rule that fits counts, by uid, gid, user and group; nobody else comes in", async () => {
  await using daemon = await open({ stubs: 2, config: RULES });
  assertEquals(await knock(daemon, { uid: OBSERVER, gid: GROUP }), CAP.OBSERVE | CAP.ROSTER);
  assertEquals(await knock(daemon, { uid: TYPIST, gid: GROUP }), CAP.INPUT);
  assertEquals(await knock(daemon, { uid: 65_534, gid: 65_534 }), CAP.ROSTER);
  assertEquals(await knock(daemon, { uid: STRANGER, gid: 1 }), CAP.AUDIT);
  const refused = await knock(daemon, { uid: STRANGER, gid: STRANGER });
  assertStringIncludes(`${refused}`, `${CODE["not-admitted"]} uid ${STRANGER} is not admitted`);
  await daemon.says(new RegExp(`REFUSED verdict=not-admitted principal=${STRANGER}`));
});

others("without rules for others the socket itself keeps them out", async () => {
  await using daemon = await open({ stubs: 1 });
  assertEquals(await knock(daemon, { uid: STRANGER, gid: STRANGER }), "connect EACCES");
  const own = await knock(daemon, { uid: 0, gid: 0 });
  assert(typeof own === "number" && (own & CAP.INPUT) !== 0);
});

others("what a grant does not cover is not shown and not done", async () => {
  await using daemon = await open({ stubs: 2, config: RULES });
  await using control = new ForeignControl(daemon.relay, daemon.socket, { uid: OBSERVER, gid: OBSERVER });
  await control.hello();
  assertEquals((await control.frame()).endpoint, 1, "the roster of stub1 alone");
  const outside = await control.ask(KIND.CMD_LEASE_STATUS, 0, [0]);
  assertEquals([outside.kind, outside.words[1]], [KIND.ACT_ACK, CODE["outside-grant"]]);
  const incapable = await control.ask(KIND.CMD_VM, 1, [1]);
  assertEquals([incapable.kind, incapable.words[1]], [KIND.ACT_ACK, CODE["no-capability"]]);
  assertEquals((await control.ask(KIND.CMD_LEASE_STATUS, 1, [0])).kind, KIND.LEASE_STATUS);
});

others("a reload that takes a right away takes it at once, the lease under it too", async () => {
  const rules = (caps: string, endpoints = '["*"]') =>
    `[[admission]]\nuid = ${TYPIST}\nendpoints = ${endpoints}\ncaps = ${caps}\n`;
  await using daemon = await open({ stubs: 2, config: rules('["INPUT", "OBSERVE", "ROSTER"]') });
  await using control = new ForeignControl(daemon.relay, daemon.socket, { uid: TYPIST, gid: TYPIST });
  await control.hello();
  assertEquals((await control.ask(KIND.CMD_ACQUIRE, 0, [0])).kind, KIND.LEASE_GRANTED);
  await daemon.reload(configText(rules('["OBSERVE", "ROSTER"]')));
  const revoked = await control.matching(({ kind }) => kind === KIND.LEASE_REVOKED);
  assertEquals([revoked.endpoint, revoked.words[0]], [0, 0]);
  assertEquals((await control.ask(KIND.CMD_ACQUIRE, 0, [0])).kind, KIND.LEASE_DENIED);
  assertEquals(await daemon.metric('vmsig_lease_held{endpoint="stub0",class="input"}'), 0);
  // A right that comes back brings what is retained with it.
  await daemon.reload(configText(rules('["INPUT", "OBSERVE", "ROSTER"]')));
  assertEquals((await control.ask(KIND.CMD_ACQUIRE, 0, [0])).kind, KIND.LEASE_GRANTED);
  await daemon.reload(configText(rules('["INPUT", "OBSERVE", "ROSTER"]', '["stub1"]')));
  await control.matching(({ kind }) => kind === KIND.LEASE_REVOKED);
  // No rule at all any more: it stays connected without any right, and nobody like it comes in.
  await daemon.reload(configText(`[[admission]]\nuid = ${OBSERVER}\nendpoints = ["*"]\ncaps = ["ROSTER"]\n`));
  const nothing = await control.ask(KIND.CMD_VM, 1, [0]);
  assert(nothing.words[1] === CODE["no-capability"] || nothing.words[1] === CODE["outside-grant"]);
  assertStringIncludes(`${await knock(daemon, { uid: TYPIST, gid: TYPIST })}`, "is not admitted");
});

others("a reload opens the socket to others, and closes it again", async () => {
  await using daemon = await open({ stubs: 1 });
  const rule = `[[admission]]\nuid = ${TYPIST}\nendpoints = ["*"]\ncaps = ["ROSTER"]\n`;
  assertEquals(await knock(daemon, { uid: TYPIST, gid: TYPIST }), "connect EACCES");
  await daemon.reload(configText(rule));
  assertEquals(await knock(daemon, { uid: TYPIST, gid: TYPIST }), CAP.ROSTER);
  await daemon.reload(configText(""));
  assertEquals(await knock(daemon, { uid: TYPIST, gid: TYPIST }), "connect EACCES");
});

others("one user cannot take every place", async () => {
  const rule = (uid: number) => `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["ROSTER"]\n`;
  await using daemon = await open({
    stubs: 1,
    config: `[daemon]\nmax_controls = 4\n${rule(TYPIST)}${rule(OBSERVER)}`,
  });
  const greedy = { uid: TYPIST, gid: TYPIST };
  await using first = new ForeignControl(daemon.relay, daemon.socket, greedy);
  await using second = new ForeignControl(daemon.relay, daemon.socket, greedy);
  assertEquals([(await first.hello()).kind, (await second.hello()).kind], [KIND.WELCOME, KIND.WELCOME]);
  assertEquals(await knock(daemon, greedy), `${CODE.busy} uid ${TYPIST} has 2 controls already`);
  assertEquals(await knock(daemon, { uid: OBSERVER, gid: OBSERVER }), CAP.ROSTER);
  await second[Symbol.asyncDispose]();
  await until("a place is free again", async () => await daemon.metric("vmsig_controls") === 1);
  assertEquals(await knock(daemon, greedy), CAP.ROSTER);
});

others("a folder that its user may not write in is one clear line", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-daemon-" });
  try {
    await Deno.chmod(folder, 0o755);
    const started = DaemonProcess.start({
      folder,
      wrapper: asUser({ uid: STRANGER, gid: STRANGER }),
      env: { DENO_DIR: Deno.env.get("DENO_DIR") ?? "", HOME: "/nonexistent" },
    });
    const message = await started.then(() => "it started", (error: Error) => error.message);
    assertStringIncludes(message, "the daemon ended before it was ready: vmsig: refused: ");
    assertStringIncludes(message, "no permission; give --socket PATH in a folder of yours");
    assertEquals(message.trim().split("\n").length, 1, message);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
