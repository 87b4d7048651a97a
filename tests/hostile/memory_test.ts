/**
 * Memory that one uid can make the daemon take: bodies on kinds that have none, watchers that do not read,
 * commands that nobody carries out.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { MAX_PRINCIPAL_COMMAND_BYTES } from "../../src/base/limits.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import { ScriptedQmp } from "../fixtures/scripted_qmp.ts";
import { attack, HostileControl, openFolder } from "./hostile_control.ts";

const UID = 4242;
/** VMs whose input one uid holds. */
const VMS = 40;
/** One of the hostile commands: a frame's head and 254 records. */
const COMMAND_BYTES = 96 + 254 * 24;
const CONFIG = `
[[admission]]
uid = ${UID}
endpoints = ["*"]
caps = ["observe", "roster", "input", "publish", "vm"]
arb_prio = 1
`;

Deno.test("bodies on kinds that have none are refused, and are in nobody's queue", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: CONFIG });
  openFolder(daemon);
  await using operator = await daemon.connect("operator");
  // Four that do not read.
  await using watchers = new HostileControl(
    daemon,
    UID,
    "watchers = [Control() for _ in range(4)]\nprint('here', flush=True)\nsys.stdin.readline()",
  );
  await until("they are there", () => watchers.text.includes("here"));
  const before = daemon.rssMb();
  const said = await attack(
    daemon,
    UID,
    `
body = b"x" * 65536
c = Control()
codes = set()
for i in range(1200):
    kind, words = c.ask((CURSOR_STATE, 81, 82)[i % 3], 0, (1, 2, 3), body=body, form=1 + i % 2, direction=UP)
    codes.add((kind, words[0]))
for i in range(600):
    kind, words = c.ask((CMD_VM, CMD_ACQUIRE, CMD_RELEASE, 65, 75, 76)[i % 6], 0, (CONT if i % 6 == 0 else 0,), body=body, form=1)
    codes.add((kind, words[1]))
print(sorted(codes))
`,
  );
  // 1,200 bodies of 64 KiB would be 79 MB, for as long as nobody reads.
  await daemon.untilLight(before + 50);
  assert(/^\[\(3, 7\), \(48, [17]\)/.test(said), said);
  await operator.vmState("stub0");
  await watchers.goOn();
  await watchers.ended();
});

Deno.test("commands that nobody carries out: a uid has so many bytes, whatever the number of its controls and of VMs, and others go on", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-memory-" });
  const peers: ScriptedQmp[] = [];
  try {
    let config = CONFIG;
    for (let i = 0; i < VMS; i++) {
      const peer = new ScriptedQmp(`${folder}/vm${i}.qmp`);
      // It takes no input for as long as the test lasts.
      peer.script = ({ execute }) => execute === "input-send-event" ? undefined : { value: {} };
      peers.push(peer);
      config += `[[endpoint]]\nname = "vm${i}"\nqmp = "${peer.path}"\nmemory = "none"\nguest = "none"\n`;
    }
    await using daemon = await DaemonProcess.start({ stubs: 1, config });
    openFolder(daemon);
    await using operator = await daemon.connect("operator");
    const isUp = () => operator.roster.list().filter(({ state }) => state === "up").length === VMS + 1;
    await until("all are up", isUp);
    const numbers = operator.roster.list().filter(({ name }) => name.startsWith("vm")).map(({ endpoint }) =>
      endpoint
    );
    const before = daemon.rssMb();
    await using hostile = new HostileControl(
      daemon,
      UID,
      `
key = struct.pack("<Iii4xd", 3, 30, 1, 0.0) + struct.pack("<Iii4xd", 3, 30, 0, 0.0)
body = key * 127
owners = {}
for number in (${numbers.join(", ")}):
    owner = owners[number] = Control()
    owner.acquire(INPUT_LEASE, number)
    owner.socket.setblocking(False)
sent = idle = 0
while idle < 20 and sent < 60000:
    before = sent
    for number, owner in owners.items():
        try:
            for _ in range(20):
                owner.send(CMD_INPUT, number, (3, 30, 1), body=body, form=1)
                sent += 1
        except BlockingIOError:
            pass
    idle = 0 if sent > before else idle + 1
    time.sleep(0.05 if sent == before else 0)
print(sent, flush=True)
sys.stdin.readline()
`,
    );
    await until("it is held back", () => /\d\n/.test(hostile.text));
    const sent = Number(hostile.text.trim());
    // How many were sent says nothing: while it takes its time, some run out of theirs, and others take their
    // place. Without the bound, 22,000: 136 MB.
    const open = await daemon.metric("vmsig_commands_open");
    const most = MAX_PRINCIPAL_COMMAND_BYTES;
    assert(open * COMMAND_BYTES <= most, `${open} commands of ${COMMAND_BYTES} bytes are held, of ${sent}`);
    const inSockets = VMS * Number(Deno.readTextFileSync("/proc/sys/net/core/wmem_default"));
    await daemon.untilLight(before + 3 * (most + inSockets) / 1e6);
    await operator.vm("stub0", "stop");
    await hostile.goOn();
    await hostile.ended();
    await until("it is gone", async () => await daemon.metric("vmsig_controls") === 1);
    await operator.vm("stub0", "cont");
    assertEquals(operator.fault, undefined);
  } finally {
    for (const peer of peers) await peer[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});
