/**
 * config/nats/vmsig.conf as it is, on a real server: what each of its users needs goes, and everything else
 * is refused by the server, subject by subject.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { NatsServer, type NatsUser } from "../fixtures/nats_server.ts";

const SESSION = "0123456789abcdef0123456789abcdef";
const req = (host: string, user: string): string => `vmsig.${host}.req.${user}.${SESSION}.cmd`;

interface Rights {
  /** What goes. */
  readonly may: { readonly pub: readonly string[]; readonly sub: readonly string[] };
  /** What is refused. */
  readonly not: { readonly pub: readonly string[]; readonly sub: readonly string[] };
}

/** What nobody but the administrator may. */
const ADMIN_ONLY = [
  "$JS.API.STREAM.CREATE.mine",
  "$JS.API.STREAM.UPDATE.vmsig_audit",
  "$JS.API.STREAM.PURGE.vmsig_audit",
  "$JS.API.STREAM.DELETE.vmsig_audit",
  "$JS.API.STREAM.DELETE.KV_vmsig_roster",
  "$JS.API.STREAM.MSG.DELETE.vmsig_audit",
];
const HOST: Rights = {
  may: {
    pub: [
      "vmsig.rack1.vm.FRAME.VGPU_STATUS",
      "vmsig.rack1.audit",
      "_INBOX.alice.x.y.rack1",
      "$KV.vmsig_roster.rack1",
    ],
    sub: ["vmsig.rack1.req.*.*.cmd", "vmsig.rack1.want.*", "vmsig.=all.want.*", "_INBOX.rack1.>"],
  },
  not: {
    pub: [
      ...["vmsig.rack2.vm.FRAME.VGPU_STATUS", "vmsig.rack2.audit", "$KV.vmsig_roster.rack2"],
      ...[req("rack1", "alice"), req("rack2", "rack1"), "vmsig.=all.want.alice", ...ADMIN_ONLY],
      ...["$JS.API.CONSUMER.CREATE.vmsig_audit.x", "$JS.API.STREAM.MSG.GET.vmsig_audit", "anything.else"],
    ],
    sub: ["vmsig.rack2.req.>", "vmsig.*.*.*.*", "_INBOX.alice.>", "_INBOX.>", ">", "$KV.vmsig_roster.>"],
  },
};
const person = (
  user: string,
  others: readonly string[],
  hosts: readonly string[],
  unheard: readonly string[] = [],
): Rights => ({
  may: {
    pub: [...hosts.map((host) => req(host, user)), `vmsig.=all.want.${user}`, `vmsig.rack1.want.${user}`],
    sub: [`_INBOX.${user}.>`, "vmsig.*.*.FRAME.*", "vmsig.*.-.CORE.OVERRUN"],
  },
  not: {
    pub: [
      ...others.flatMap((other) => [req("rack1", other), `vmsig.rack1.want.${other}`]),
      ...["rack1", "rack2"].filter((host) => !hosts.includes(host)).map((host) => req(host, user)),
      ...["vmsig.rack1.vm.FRAME.VGPU_STATUS", "vmsig.rack1.audit", "$KV.vmsig_roster.rack1", ...ADMIN_ONLY],
      ...[`_INBOX.${others[0]}.x.y.rack1`, "$JS.API.CONSUMER.CREATE.vmsig_audit.x", "anything.else"],
    ],
    sub: [...unheard, `_INBOX.${others[0]}.>`, "_INBOX.>", "vmsig.rack1.req.>", "vmsig.>", ">"],
  },
});

/** By the file. */
const RIGHTS: Readonly<Partial<Record<NatsUser, Rights>>> = {
  rack1: HOST,
  alice: person("alice", ["bob", "admin"], ["rack1", "rack2"]),
  bob: person("bob", ["alice"], ["rack1"], [
    ...[
      "vmsig.*.*.AUDIT.*",
      "vmsig.*.*.*.AUDIT",
      "vmsig.rack1.vm.AUDIT.AUDIT",
      "vmsig.rack1.*.*.*",
      "vmsig.*.*.*.*",
    ],
  ]),
  auditor: {
    may: {
      pub: ["$JS.API.STREAM.INFO.vmsig_audit", "$JS.API.CONSUMER.CREATE.vmsig_audit.x"],
      sub: ["_INBOX.auditor.>"],
    },
    not: {
      pub: [
        ...["vmsig.rack1.audit", req("rack1", "auditor"), "$KV.vmsig_roster.rack1", ...ADMIN_ONLY],
        "$JS.API.CONSUMER.CREATE.KV_vmsig_roster.x",
      ],
      sub: ["vmsig.*.*.*.*", "vmsig.*.audit", "_INBOX.alice.>", ">"],
    },
  },
  admin: {
    may: { pub: ["$JS.API.STREAM.INFO.vmsig_audit", "$JS.API.INFO"], sub: ["_INBOX.admin.>"] },
    not: {
      pub: ["vmsig.rack1.audit", req("rack1", "admin"), req("rack1", "alice"), "$KV.vmsig_roster.rack1"],
      sub: ["vmsig.*.*.*.*", "_INBOX.alice.>", ">"],
    },
  },
};

Deno.test("nats: the accounts of config/nats: everybody has what it needs, and nothing else goes", async () => {
  await using server = await NatsServer.start();
  // As the file's head tells, word for word.
  await server.create();

  // What is tried stands under each user: published without a body, which nobody understands.
  for (const [user, { may, not }] of Object.entries(RIGHTS)) {
    await using link = await NatsLink.open(server.options(user as NatsUser), "tries");
    const refusals: string[] = [];
    link.listen({ onRefusal: (text) => refusals.push(text) });
    const isRefused = (how: string, subject: string) =>
      refusals.some((text) => text.toLowerCase().includes(`for ${how} to "${subject.toLowerCase()}"`));
    for (const subject of [...may.pub, ...not.pub]) link.publish(subject, new Uint8Array(0));
    for (const subject of [...may.sub, ...not.sub]) link.on(subject, () => {});
    // The server answers in order: behind this, all refusals are here.
    await until(`${user}: the last refusals are here`, async () => {
      await link.flush();
      return not.pub.every((subject) => isRefused("publish", subject)) &&
        not.sub.every((subject) => isRefused("subscription", subject));
    }, 60_000).catch((error) => {
      const missing = [
        ...not.pub.filter((subject) => !isRefused("publish", subject)),
        ...not.sub.filter((subject) => !isRefused("subscription", subject)),
      ];
      throw new Error(`${user} may ${missing.join(", ")}: ${error}; refused: ${refusals.join(" | ")}`);
    });
    const tooMuch = [
      ...may.pub.filter((subject) => isRefused("publish", subject)),
      ...may.sub.filter((subject) => isRefused("subscription", subject)),
    ];
    assertEquals(tooMuch, [], `${user} needs it`);
  }

  // Nobody without credentials comes in at all.
  const stranger = await vmsig(["ls", "--nats", server.url]);
  assertMatch(stranger.errors, /not-admitted/);
});

Deno.test("nats: by the accounts of config/nats bob sees no audit, and asks rack1 alone", async () => {
  const rule = (who: string, more = "") =>
    `[[admission]]\n${who}\nendpoints = ["*"]\ncaps = ["*"]\n${more}\n`;
  const rules = rule(`uid = ${Deno.uid()}`, 'speaks_for = ["nats:*"]') + rule('nats = "alice"') +
    rule('nats = "bob"');
  await using server = await NatsServer.start();
  await server.create();
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  await using one = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
  await using two = await JoinHost.start({ server, socket: daemon.socket, host: "rack2" });

  // The same events, as two people see them.
  const heard: Record<"alice" | "bob", string[]> = { alice: [], bob: [] };
  await using alice = await NatsLink.open(server.options("alice"), "hears");
  await using bob = await NatsLink.open(server.options("bob"), "hears");
  for (const [name, link] of [["alice", alice], ["bob", bob]] as const) {
    for (
      const what of ["vmsig.*.*.CORE.*", "vmsig.*.*.AUDIT.*", "vmsig.rack1.*.*.AUDIT", "vmsig.rack1.vm.*.*"]
    ) {
      link.on(what, ({ subject }) => heard[name].push(subject.split(".").at(-1) as string));
    }
    await link.flush();
  }
  await using rack = await NatsLink.open(server.options("rack1"), "publishes");
  for (const what of ["AUDIT.AUDIT", "CORE.ROSTER", "AUDIT.AUDIT", "CORE.OVERRUN"]) {
    rack.publish(`vmsig.rack1.vm.${what}`, new Uint8Array(96));
  }
  await until(
    "both have heard the last",
    () => heard.alice.includes("OVERRUN") && heard.bob.includes("OVERRUN"),
  );
  assert(heard.alice.includes("AUDIT"));
  assert(!heard.bob.includes("AUDIT"), "what the file does not allow is not delivered");

  // Both are let in by both daemons; the server keeps bob from rack2.
  const ask = async (user: NatsUser, host: string) =>
    await vmsig(["lease", `${host}/stub0`, "input", "status", ...server.args(user)]);
  for (const [user, host] of [["alice", "rack1"], ["alice", "rack2"], ["bob", "rack1"]] as const) {
    await until(`${user} sees ${host}`, async () => (await ask(user, host)).code === 0);
  }
  const refused = await ask("bob", "rack2");
  assertEquals(refused.code, 1);
  assertMatch(refused.errors, /refused: .*the server does not let bob publish there/);
  assertEquals([await one.stop(), await two.stop()], [0, 0]);
});
