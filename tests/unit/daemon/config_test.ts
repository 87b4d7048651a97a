import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { parseConfig, parseEndpointTable } from "../../../src/daemon/config.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";

function defectOf(text: string): string {
  const fault = assertThrows(() => parseConfig(text, "vmsigd.toml"), Fault) as Fault;
  assertEquals(fault.code, "bad-argument");
  return fault.message;
}

Deno.test("an empty config is the defaults", () => {
  assertEquals(parseConfig("", "x"), {
    daemon: {
      socket: undefined,
      runtimeDir: undefined,
      log: "info",
      spinUs: 0,
      realtime: true,
      maxControls: 1024,
      queueEvents: 1024,
    },
    discovery: { triggerDir: undefined, probe: true, users: undefined },
    hosts: {},
    endpoints: [],
    channels: [],
    admission: [],
    policy: [],
    write: [],
  });
});

Deno.test("the default file is the defaults, and its examples are valid", async () => {
  const text = await Deno.readTextFile(new URL("../../../config/vmsigd.toml", import.meta.url));
  assertEquals(parseConfig(text, "vmsigd.toml"), parseConfig("", "x"));
  const examples = text.split("\n")
    .map((line) => /^# ((\[+\w+\]+)|\w+ = .*|extents = \[|\s+\{.*\},|\])$/.test(line) ? line.slice(2) : line)
    .join("\n");
  const config = parseConfig(examples, "examples");
  assertEquals(config.endpoints.length, 1);
  assertEquals(config.admission.length, 3);
  assertEquals(config.policy.length, 1);
  assertEquals(config.write.length, 1);
  assertEquals(config.daemon.socket, "/run/vmsig/control.sock");
});

Deno.test("every key arrives", () => {
  const config = parseConfig(
    `
[daemon]
socket = "/run/v/c.sock"
runtime_dir = "/run/v"
log = "debug"
spin_us = 50
max_controls = 7
queue_events = 4096
[discovery]
trigger_dir = "/run/v/e.d"
users = ["root", "4242"]
probe = false
[[endpoint]]
name = "web"
vmid = 100
qmp = "/run/web.sock"
memory = "memfd"
input = "uinput"
guest = "linux"
[[endpoint]]
name = "bare"
[[admission]]
uid = 1000
endpoints = ["*"]
caps = ["observe", "INPUT"]
[[admission]]
group = "ops"
endpoints = ["web"]
sources = ["vmhost", "CORE"]
caps = ["*"]
arb_prio = 20
queue_events = 16384
[[admission]]
uid = 33
speaks_for = ["token:*", "nats:bob"]
[[admission]]
token = "alice"
endpoints = ["web"]
caps = ["input"]
[[policy]]
source = "frame"
dir = "up"
prio = "normal"
min_gap_ns = 1
coalesce_ns = 2
max_inflight = 3
drop = "block"
[write]
extents = [{ endpoint = "web", space = "kernel", from = "0xffff888000000000", to = "0xffff888000001000" }]
`,
    "x",
  );
  assertEquals(config.daemon, {
    socket: "/run/v/c.sock",
    runtimeDir: "/run/v",
    log: "debug",
    spinUs: 50,
    realtime: false,
    maxControls: 7,
    queueEvents: 4096,
  });
  assertEquals(config.discovery, { triggerDir: "/run/v/e.d", probe: false, users: ["root", "4242"] });
  assertEquals(config.endpoints, [
    {
      name: "web",
      vmid: 100,
      qmp: "/run/web.sock",
      memory: "memfd",
      input: "uinput",
      guest: "linux",
      display: "auto",
      console: "auto",
      agent: "auto",
    },
    {
      name: "bare",
      vmid: 0,
      qmp: undefined,
      memory: "auto",
      input: "none",
      guest: "auto",
      display: "auto",
      console: "auto",
      agent: "auto",
    },
  ]);
  assertEquals(config.admission, [
    {
      subject: { kind: "uid", uid: 1000 },
      endpoints: "all",
      sources: 511,
      caps: CAP.OBSERVE | CAP.INPUT,
      arbPrio: 10,
    },
    {
      subject: { kind: "group", name: "ops" },
      endpoints: ["web"],
      sources: (1 << 5) | (1 << 4),
      caps: ALL_CAPS,
      arbPrio: 20,
      queueEvents: 16_384,
    },
    {
      subject: { kind: "uid", uid: 33 },
      endpoints: [],
      sources: 511,
      caps: 0,
      arbPrio: 10,
      speaksFor: ["token:*", "nats:bob"],
      onlySpeaks: true,
    },
    {
      subject: { kind: "principal", name: "token:alice" },
      endpoints: ["web"],
      sources: 511,
      caps: CAP.INPUT,
      arbPrio: 10,
    },
  ]);
  assertEquals(config.policy, [
    { source: 1, dir: 0, policy: { prio: 1, minGapNs: 1, coalesceNs: 2, maxInflight: 3, drop: 2 } },
  ]);
  assertEquals(config.write, [
    { endpoint: "web", space: "kernel", from: -0x778000000000, to: -0x778000000000 + 4096 },
  ]);
});

/** So many keys in one table. */
function manyKeys(count: number): string {
  return `[daemon]\n${Array.from({ length: count }, (_, i) => `k${i} = ${i}`).join("\n")}\n`;
}

Deno.test("what would keep the parser busy is refused before it sees it, in a trigger file sooner", () => {
  const refused = (text: string, why: string) =>
    assertStringIncludes(assertThrows(() => parseEndpointTable(text, "web.toml"), Fault).message, why);
  refused(`name = "a"\n${"# a comment\n".repeat(800)}`, "web.toml: is longer than 8192 characters");
  refused(`name = "a"\nx = [${"1, ".repeat(70)}]\n`, "web.toml:2: is one value too many: 64 are possible");
  refused(`name = "a"\nguest = "${"x".repeat(5000)}"\n`, "is longer than the 4096 characters");
});

Deno.test("a defect is told with file, line and key", () => {
  const table = [
    ["[daemon]\nsockt = 1", "vmsigd.toml:2: daemon.sockt: there is no such key (did you mean socket?)"],
    ["[deamon]\n", "vmsigd.toml:1: deamon: there is no such key (did you mean daemon?)"],
    ["a = 1", "vmsigd.toml:1: a: there is no such key; known here: daemon, discovery"],
    ["\n\n[daemon]\nlog = 3", "vmsigd.toml:4: daemon.log: is the number 3, and must be text"],
    ['[daemon]\nlog = "inof"', "vmsigd.toml:2: daemon.log: is inof (did you mean info?), and must be one of"],
    ["[daemon]\nspin_us = -1", "vmsigd.toml:2: daemon.spin_us: is -1, and must be from 0 to 1000000"],
    ["[daemon]\nspin_us = 1.5", "daemon.spin_us: is the number 1.5, and must be a whole number"],
    ["[daemon]\nspin_us = 5\nrealtime = true", "vmsigd.toml:3: daemon.realtime: cannot be true with spin_us"],
    ["[daemon]\nrealtime = 1", "daemon.realtime: is"],
    ['[daemon]\nspin_us = "5"', "daemon.spin_us: is text, and must be a whole number"],
    ["[daemon]\nmax_controls = 99999999999999999999", "daemon.max_controls: is 100000000000000000000"],
    ["daemon = 5", "vmsigd.toml:1: daemon: is the number 5, and must be a table: [daemon]"],
    ['[daemon]\nsocket = "a.sock"', "daemon.socket: is a.sock, and must be an absolute path"],
    [`[daemon]\nsocket = "/${"x".repeat(107)}"`, "daemon.socket: is longer than the 107 bytes"],
    [
      '[discovery]\nusers = ["root", "a b"]',
      'discovery.users: has "a b", which is neither a user\'s name nor a number',
    ],
    ['[discovery]\nusers = ["4294967295"]', 'discovery.users: has "4294967295", which is neither'],
    ["[discovery]\nprobe = 1", "discovery.probe: is the number 1, and must be true or false"],
    [
      "[endpoint]\nname = 'x'",
      "vmsigd.toml:1: endpoint: is a table, and must be a list of tables: [[endpoint]]",
    ],
    ["[[endpoint]]\nvmid = 1", "vmsigd.toml:1: endpoint[0].name: is missing"],
    ["[[endpoint]]\nname = ''", "endpoint[0].name: is empty"],
    ["[[endpoint]]\nname = '12'", "endpoint[0].name: is 12, and a name of digits alone"],
    ["[[endpoint]]\nname = 'a b'", 'endpoint[0].name: is "a b", and may have letters'],
    ["[[endpoint]]\nname = 'ääääääääääääääää'", "endpoint[0].name: is longer than the 31 bytes"],
    [
      "[[endpoint]]\nname = 'a'\n\n[[endpoint]]\nname = 'b'\n# c\nqmp = 3\n",
      "vmsigd.toml:7: endpoint[1].qmp: is the number 3, and must be text",
    ],
    [
      "[[endpoint]]\nname = 'a'\nqmp = 'web.qmp'",
      "vmsigd.toml:3: endpoint[0].qmp: is web.qmp, and must be an absolute path, tcp:HOST:PORT, listen:/PATH or libvirt:NAME",
    ],
    [
      "[[endpoint]]\nname = 'a'\nqmp = 'listen:127.0.0.1:4444'",
      "vmsigd.toml:3: endpoint[0].qmp: is listen:127.0.0.1:4444, and must be listen:/PATH, the unix socket to which QEMU connects",
    ],
    [
      "[[endpoint]]\nname = 'a'\nqmp = 'tcp:vm.example:4444'",
      "vmsigd.toml:3: endpoint[0].qmp: is tcp:vm.example:4444, and its host must be an IPv4 or IPv6 address, or localhost",
    ],
    ["[[endpoint]]\nname = 'a'\nqmp = 'tcp:127.0.0.1:0'", "and its port must be 1 to 65535"],
    [
      "[[endpoint]]\nname = 'a'\n[[endpoint]]\nname = 'a'",
      "vmsigd.toml:4: endpoint[1].name: is a, and another endpoint has that name",
    ],
    [
      "[[endpoint]]\nname = 'a'\nvmid = 5\n[[endpoint]]\nname = 'b'\nvmid = 5",
      "vmsigd.toml:6: endpoint[1].vmid: is 5, and another endpoint has that vmid",
    ],
    [
      "[[endpoint]]\nname = 'a'\ninput = 'qmp'",
      'vmsigd.toml:3: endpoint[0].input: is "qmp", and there is no qmp',
    ],
    ["[[endpoint]]\nname = 'a'\nmemory = 'hugepages'", "must be one of auto, memfd, file, none"],
    [
      "[[admission]]\nendpoints = ['*']\ncaps = ['*']",
      "vmsigd.toml:1: admission[0]: does not say to whom it applies",
    ],
    ["[[admission]]\nuid = 1\nuser = 'a'", "vmsigd.toml:3: admission[0].user: is given beside uid"],
    ["[[admission]]\nuid = 1\ncaps = ['*']", "vmsigd.toml:1: admission[0].endpoints: is missing"],
    ["[[admission]]\nuid = 1\nendpoints = ['*']", "vmsigd.toml:1: admission[0].caps: is missing"],
    [
      "[[admission]]\nuid = 1\nendpoints = ['*']\ncaps = ['fly']",
      "vmsigd.toml:4: admission[0].caps: has fly",
    ],
    ["[[admission]]\nuid = 4294967295\n", "admission[0].uid: is 4294967295, and must be from"],
    [
      "[[admission]]\nuid = 1\ncaps = ['*']\nendpoints = ['a',\n 5]",
      "vmsigd.toml:5: admission[0].endpoints[1]: is the number 5",
    ],
    [
      "[[admission]]\ntoken = 'a b'\n",
      'vmsigd.toml:2: admission[0].token: is "a b", and has to be 1 to 64 of',
    ],
    ["[[admission]]\ntoken = 'a'\nnats = 'b'", "vmsigd.toml:3: admission[0].nats: is given beside token"],
    [
      "[[admission]]\nuid = 1\nspeaks_for = ['token:*', 'uid:0']",
      'vmsigd.toml:3: admission[0].speaks_for: has "uid:0", which has to be one of token:NAME, nats:NAME',
    ],
    ["[[admission]]\nuid = 1\nspeaks_for = ['*']", 'speaks_for: has "*", which has to be one of'],
    ["[[admission]]\nuid = 1\nspeaks_for = []", "vmsigd.toml:1: admission[0].endpoints: is missing"],
    ["[[admission]]\nuid = 1\nspeaks_for = ['token:a']\narb_prio = 3", "admission[0].endpoints: is missing"],
    [
      "[[admission]]\nuid = 1\nendpoints = []\ncaps = []\nqueue_events = 1",
      "admission[0].queue_events: is 1, and must be from 128 to 1048576",
    ],
    [
      "[[admission]]\ntoken = 'a'\nspeaks_for = ['token:b']\n",
      "vmsigd.toml:3: admission[0].speaks_for: is in a rule for a name",
    ],
    [
      "[[admission]]\ntoken='a'\nendpoints=['*']\ncaps=['*']\n[[admission]]\ntoken='a'\nendpoints=['*']\ncaps=['*']",
      "vmsigd.toml:5: admission[1]: is a second rule for token:a",
    ],
    ["[[policy]]\nsource = 'none'\ndir = 'up'", "policy[0].source: has none"],
    ["[[policy]]\nsource = 'core'", "policy[0].dir: is missing"],
    ["[[policy]]\nsource = 'core'\ndir = 'up'\nprio = 'top'", "policy[0].prio: is top"],
    [
      "[[policy]]\nsource='core'\ndir='up'\n[[policy]]\nsource='CORE'\ndir='up'",
      "vmsigd.toml:4: policy[1]: is a second",
    ],
    [
      "[[policy]]\nsource='core'\ndir='up'\nmin_gap_ns = 4294967296",
      "vmsigd.toml:4: policy[0].min_gap_ns: is 4294967296",
    ],
    [
      '[write]\nextents = [\n  { endpoint = "a", space = "process", from = "0x10", to = "0x20" },\n  { endpoint = "a", space = "process", from = "0x20", to = "0x20" },\n]',
      "vmsigd.toml:4: write.extents[1].to: must be above from",
    ],
    [
      '[write]\nextents = [{ endpoint = "a", space = "kernel", from = "0x10", to = "0x20" }]',
      "vmsigd.toml:2: write.extents[0].from: is 0x10, which is not an address of a kernel",
    ],
    [
      '[write]\nextents = [{ endpoint = "a", space = "process", from = "16", to = "0x20" }]',
      "must be an address like",
    ],
    ['[write]\nextents = [{ endpoint = "a", spcae = "process" }]', "write.extents[0].space: is missing"],
    ["[daemon]\nlog = \n", "vmsigd.toml:2: daemon.log: has no value"],
    ["[daemon]\nlog = 'info'\nlog = 'debug'", "vmsigd.toml:3: daemon.log: is given twice, first on line 2"],
    ["[daemon]\n[daemon]\n", "vmsigd.toml:2: daemon: is given twice"],
    ["x = \n[", "vmsigd.toml:1: x: has no value"],
    ["\n[daemon\n", "vmsigd.toml:2: is not TOML"],
    [manyKeys(65), "vmsigd.toml:66: daemon: has more than 64 keys"],
    [
      `${"k".repeat(129)} = 1`,
      "vmsigd.toml:1: kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk: is longer than the 128 characters",
    ],
    [`${"a.".repeat(16)}a = 1`, "vmsigd.toml:1: a: is nested too deeply"],
    [`a = ${"[".repeat(18)}`, "is nested too deeply"],
    [`[daemon]\nlog = "${"x".repeat(4097)}"`, "daemon.log: is longer than the 4096 characters"],
    [
      `[[admission]]\nuid = 1\nendpoints = [${"'a',".repeat(131_072)}]`,
      "is one value too many: 131072 are possible",
    ],
    ["__proto__ = 1", "vmsigd.toml:1: __proto__: is not a valid key"],
    ['[daemon]\nlog = "in\\qfo"', "vmsigd.toml:2: is not TOML: Invalid escape"],
  ] as const;
  for (const [text, expected] of table) assertStringIncludes(defectOf(text), expected, text.slice(0, 200));
});

Deno.test("a 65th endpoint is refused", () => {
  const text = Array.from({ length: 65 }, (_, i) => `[[endpoint]]\nname = "vm${i}"\n`).join("");
  assertStringIncludes(defectOf(text), "vmsigd.toml:129: endpoint[64]: is one too many");
});

Deno.test("lines are found through every kind of TOML", () => {
  const text = [
    "# comment with = and [",
    '"daemon".log = "info"',
    'discovery = { probe = true, "trigger_dir" = "/x" }',
    "",
    "[[admission]]",
    "uid = 1",
    "endpoints = [ # [ not an array",
    '  "a", # one',
    "  'b',",
    "]",
    'caps = ["""',
    "observe]\\",
    '"""]',
  ].join("\n");
  const message = defectOf(text);
  assertStringIncludes(message, "vmsigd.toml:11: admission[0].caps: has observe]");
});

Deno.test("a trigger file is one endpoint", () => {
  assertEquals(parseEndpointTable('name = "a"\nqmp = "/a.sock"\n', "a.toml"), {
    name: "a",
    vmid: 0,
    qmp: "/a.sock",
    memory: "auto",
    input: "qmp",
    guest: "auto",
    display: "auto",
    console: "auto",
    agent: "auto",
  });
  const fault = assertThrows(
    () => parseEndpointTable('name = "a"\nqpm = "/a.sock"\n', "t/a.toml"),
    Fault,
  ) as Fault;
  assertStringIncludes(fault.message, "t/a.toml:2: qpm: there is no such key (did you mean qmp?)");
  assertThrows(() => parseEndpointTable("", "a.toml"), Fault, "a.toml:1: name: is missing");
});

Deno.test("no text makes the reader fail otherwise than by a fault (seeded)", () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  let state = seed;
  const random = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state % n;
  };
  const base =
    '[daemon]\nlog = "info" # x\n[[endpoint]]\nname = "a"\nqmp = \'/a\'\n[write]\nextents = [{ endpoint = "a", space = "kernel" }]\n';
  const bits = [
    "[",
    "]",
    "{",
    "}",
    '"',
    "'",
    '"""',
    "'''",
    "=",
    "\n",
    ",",
    ".",
    "#",
    "\\",
    "a",
    "1",
    "[[",
    " ",
  ];
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    let text = base;
    for (let edit = 0; edit <= random(4); edit++) {
      const at = random(text.length);
      text = text.slice(0, at) + bits[random(bits.length)] + text.slice(at + random(3));
    }
    try {
      parseConfig(text, "x");
    } catch (error) {
      assert(error instanceof Fault, `seed ${seed}: ${JSON.stringify(text)}: ${error}`);
      assert(/: x:[0-9]+: /.test(error.message), `seed ${seed}: ${error.message}`);
      refused++;
    }
  }
  assert(refused > 500, `seed ${seed}: only ${refused} refused`);
});
