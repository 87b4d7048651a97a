import { assertEquals } from "@std/assert";
import type { AdmissionRule, UserLookup } from "../../../src/access/admission.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { ALL_SOURCES, SOURCE } from "../../../src/event/source.ts";
import { perceptionLacks } from "../../../src/daemon/perception_rights.ts";
import { configText, DaemonProcess } from "../../fixtures/daemon_process.ts";

const OWN = { uid: 990, gid: 991 };
const USERS: UserLookup = {
  uidOf: (user) => user === "vmsig" ? OWN.uid : undefined,
  gidOf: () => undefined,
  isMember: (uid, gid) => uid === OWN.uid && gid === 42,
};

function rule(part: Partial<AdmissionRule>): AdmissionRule {
  return {
    subject: { kind: "uid", uid: OWN.uid },
    endpoints: "all",
    sources: ALL_SOURCES,
    caps: ALL_CAPS,
    arbPrio: 10,
    ...part,
  };
}

Deno.test("perception lacks what the first rule that fits the daemon's own user leaves out", () => {
  const lacks = (...rules: AdmissionRule[]) => perceptionLacks(rules, OWN, USERS);
  assertEquals(lacks(), []);
  assertEquals(lacks(rule({})), []);
  assertEquals(lacks(rule({ caps: CAP.MEMCTX | CAP.PUBLISH })), []);
  // Which endpoints it watches is a choice.
  assertEquals(lacks(rule({ endpoints: ["web"] })), []);
  assertEquals(lacks(rule({ caps: ALL_CAPS & ~CAP.MEMCTX })), ["MEMCTX"]);
  assertEquals(lacks(rule({ subject: { kind: "user", name: "vmsig" }, caps: CAP.MEMCTX })), ["PUBLISH"]);
  assertEquals(lacks(rule({ subject: { kind: "gid", gid: 42 }, caps: 0 })), ["MEMCTX", "PUBLISH"]);
  assertEquals(lacks(rule({ sources: ALL_SOURCES & ~(1 << SOURCE.MEMCTX) })), ["source memctx"]);
  // Another user's rule takes nothing; a later one for the same user counts for nothing.
  assertEquals(lacks(rule({ subject: { kind: "uid", uid: 1 }, caps: 0 })), []);
  assertEquals(lacks(rule({}), rule({ caps: 0 })), []);
});

Deno.test("rules that blind perception are told once, at the start and at a reload", async () => {
  const uid = Deno.uid();
  const rules = (caps: string) => `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ${caps}\n`;
  const told = new RegExp(`warn +perception: .*\\[\\[admission\\]\\].* uid=${uid} lacks=(.*)`, "g");
  await using daemon = await DaemonProcess.start({ config: rules('["OBSERVE", "PUBLISH"]'), stubs: 1 });
  const lacks = () => [...daemon.logText.matchAll(told)].map((match) => match[1]);
  await daemon.says(/warn +perception:/);
  assertEquals(lacks(), ["MEMCTX"]);
  await daemon.reload(configText(rules('["*"]')));
  await daemon.reload(configText(rules('["OBSERVE"]')));
  await daemon.reload(configText(""));
  assertEquals(lacks(), ["MEMCTX", '"MEMCTX, PUBLISH"']);
});
