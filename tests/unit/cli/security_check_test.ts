/**
 * `vmsig doctor --security` on hosts made of temp folders: each weakness is found with how bad it is and its
 * remedy, and a sound host has none.
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import type { Weakness } from "../../../src/client/cli/security/finding.ts";
import { checkSecurity, type SecurityPlaces } from "../../../src/client/cli/security/security_check.ts";
import { vmsig } from "../../fixtures/daemon_process.ts";

const OTHER = 4242;
const isRoot = Deno.uid() === 0;

/** A host: what is on it is changed by the test, then looked at. */
class Host implements Disposable {
  // /tmp itself is a folder that everybody writes: what is found there is not this host's.
  readonly folder = Deno.makeTempDirSync({ prefix: "vmsig-security-" });
  readonly places: Required<SecurityPlaces> & { readonly config: string } = {
    socket: `${this.folder}/run/control.sock`,
    config: `${this.folder}/etc/vmsigd.toml`,
    etc: `${this.folder}/etc`,
    proc: `${this.folder}/proc`,
    sys: `${this.folder}/sys`,
    units: [`${this.folder}/units`],
  };

  constructor() {
    Deno.chmodSync(this.folder, 0o755);
    for (const name of ["etc", "run", "run/endpoints.d", "sys", "units", "vm"]) {
      Deno.mkdirSync(`${this.folder}/${name}`, { mode: 0o755 });
    }
    this.write("etc/vmsigd.toml", "");
    this.write("etc/passwd", `root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n`);
    this.write("etc/group", `root:x:0:\nops:x:100:alice\n`);
    const settings = {
      "kernel/yama/ptrace_scope": 1,
      "fs/protected_symlinks": 1,
      "fs/protected_hardlinks": 1,
      "fs/protected_fifos": 1,
      "fs/protected_regular": 2,
    };
    for (const [key, value] of Object.entries(settings)) this.write(`proc/sys/${key}`, `${value}\n`);
    this.write("proc/mounts", "proc /proc proc rw,nosuid,hidepid=invisible,gid=4 0 0\n");
    this.write("proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 1\n");
  }

  write(path: string, text: string, mode = 0o644): string {
    const file = `${this.folder}/${path}`;
    Deno.mkdirSync(file.slice(0, file.lastIndexOf("/")), { recursive: true, mode: 0o755 });
    Deno.writeTextFileSync(file, text);
    Deno.chmodSync(file, mode);
    return file;
  }

  config(text: string): void {
    this.write("etc/vmsigd.toml", text);
  }

  /** What is found, but for the folders above this host's own. */
  found(): Weakness[] {
    const isAbove = (text: string) => {
      const [, folder = ""] = /^folder (\/\S*) /.exec(text) ?? [];
      return folder !== "" && `${this.folder}/`.startsWith(folder === "/" ? "/" : `${folder}/`) &&
        folder !== this.folder;
    };
    return checkSecurity(this.places).filter(({ found }) => !isAbove(found));
  }

  /** The one finding that matches. */
  one(pattern: RegExp): Weakness {
    const found = this.found().filter((each) => pattern.test(each.found));
    assertEquals(found.length, 1, `${pattern} in ${JSON.stringify(this.found(), null, 1)}`);
    return found[0] as Weakness;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

Deno.test({
  name: "a sound host has no weakness",
  ignore: !isRoot,
  fn: () => {
    using host = new Host();
    host.config('[[admission]]\nuser = "alice"\nendpoints = ["web"]\ncaps = ["observe", "power"]\n');
    assertEquals(host.found(), []);
  },
});

Deno.test({
  name: "folders and files that others can write or own are found, with how bad that is",
  ignore: !isRoot,
  fn: () => {
    using host = new Host();
    Deno.chmodSync(`${host.folder}/etc`, 0o777);
    const open = host.one(/folder .*\/etc \(mode 0777\)/);
    assertEquals([open.check, open.severity], ["config", "high"]);
    assertMatch(open.remedy, /chmod go-w .*\/etc/);
    Deno.chmodSync(`${host.folder}/etc`, 0o1777);
    assertEquals(host.one(/folder .*\/etc \(mode 1777\)/).severity, "low");
    Deno.chmodSync(`${host.folder}/etc`, 0o775);
    assertEquals(host.one(/folder .*\/etc \(mode 0775\)/).severity, "medium");
    Deno.chmodSync(`${host.folder}/etc`, 0o755);
    Deno.chmodSync(host.places.config, 0o666);
    assertEquals(host.one(/the config .* can be written by everybody/).severity, "high");
    Deno.chmodSync(host.places.config, 0o644);
    Deno.chownSync(host.places.config, OTHER, OTHER);
    assertEquals(host.one(/the config .* belongs to uid 4242/).severity, "high");
    Deno.chownSync(host.places.config, 0, 0);
    Deno.chownSync(`${host.folder}/run`, OTHER, OTHER);
    assertEquals(host.one(/folder .*\/run belongs to uid 4242/).severity, "medium");
  },
});

Deno.test({
  name: "the socket, trigger files and monitors: who can open, write and replace them",
  ignore: !isRoot,
  fn: () => {
    using host = new Host();
    using _socket = listenUnix(host.places.socket, SOCKET.SEQPACKET, { mode: 0o666 });
    assertEquals(host.one(/control socket .* can be opened by others, and no rule/).severity, "low");
    using _monitor = listenUnix(`${host.folder}/vm/a.qmp`, SOCKET.STREAM, { mode: 0o777 });
    host.config(`[[endpoint]]\nname = "a"\nqmp = "${host.folder}/vm/a.qmp"\n`);
    assertEquals(host.one(/everybody can connect to the monitor .*a\.qmp/).severity, "high");
    Deno.chmodSync(`${host.folder}/vm`, 0o700);
    assertEquals(host.found().filter(({ check }) => check === "monitor"), []);
    Deno.chmodSync(`${host.folder}/vm`, 0o777);
    Deno.chmodSync(`${host.folder}/vm/a.qmp`, 0o755);
    assertEquals(host.one(/folder .*\/vm \(mode 0777\)/).check, "monitor");
    host.config("");
    assertEquals(host.found().filter(({ check }) => check === "monitor"), []);
    const trigger = host.write("run/endpoints.d/a", `name = "a"\nqmp = "${host.folder}/vm/a.qmp"\n`);
    assertEquals(
      host.one(/folder .*\/vm \(mode 0777\)/).check,
      "monitor",
      "a trigger file's monitor counts as well",
    );
    Deno.chmodSync(trigger, 0o664);
    assertMatch(host.one(/endpoints\.d\/a can be written by others/).remedy, /chmod 644/);
    Deno.chmodSync(trigger, 0o644);
    Deno.chownSync(trigger, OTHER, OTHER);
    assertEquals(host.one(/endpoints\.d\/a belongs to uid 4242/).check, "triggers");
  },
});

Deno.test({
  name: "RAM files of QEMUs that others can read, write or replace",
  ignore: !isRoot,
  fn: () => {
    using host = new Host();
    const ram = host.write("vm/a.ram", "", 0o644);
    const json = host.write("vm/b.ram", "", 0o602);
    host.write(
      "proc/4711/cmdline",
      `/usr/bin/qemu-system-x86_64\0-object\0memory-backend-file,id=r,mem-path=${ram},share=on\0` +
        `-object\0{"qom-type":"memory-backend-file","mem-path":"${json}"}\0`,
    );
    host.write("proc/4712/cmdline", `/usr/bin/vi\0mem-path=${host.folder}/etc/passwd\0`);
    const found = host.found().filter(({ check }) => check === "ram");
    assertEquals(found.map(({ severity }) => severity), ["high", "high"]);
    assertMatch(found[0]?.found ?? "", /everybody can read the RAM file .*a\.ram \(mode 0644\)/);
    assertMatch(found[1]?.found ?? "", /everybody can write the RAM file .*b\.ram \(mode 0602\)/);
    Deno.chmodSync(ram, 0o600);
    Deno.chmodSync(json, 0o600);
    Deno.chmodSync(`${host.folder}/vm`, 0o777);
    assertEquals(host.one(/folder .*\/vm \(mode 0777\)/).check, "ram");
  },
});

Deno.test("rules: unknown users, whole groups, every capability, discovery and writes on every VM", () => {
  using host = new Host();
  const rule = (who: string, endpoints: string, caps: string) =>
    `[[admission]]\n${who}\nendpoints = ["${endpoints}"]\ncaps = [${caps}]\n`;
  host.config(
    rule("uid = 31337", "web", '"observe"') + rule('user = "ghost"', "web", '"observe"') +
      rule("gid = 31338", "web", '"observe"') + rule('group = "nobodys"', "web", '"observe"') +
      rule('group = "ops"', "*", '"power", "observe"') + rule('user = "alice"', "*", '"*"') +
      rule('user = "root"', "*", '"*"') +
      '[write]\nextents = [{ endpoint = "*", space = "process", from = "0x1000", to = "0x2000" }]\n',
  );
  const found = host.found().filter(({ check }) => check === "rules");
  const has = (severity: string, pattern: RegExp): boolean =>
    found.some((each) => each.severity === severity && pattern.test(each.found));
  assert(has("medium", /1 \(uid 31337\) is for a number that no user has/));
  assert(has("medium", /2 \(user ghost\) is for a user that does not exist/));
  assert(has("medium", /3 \(gid 31338\)/));
  assert(has("medium", /4 \(group nobodys\)/));
  assert(has("medium", /5 \(group ops\) has power on every VM/));
  assert(has("medium", /6 \(user alice\) has .*memwrite.* on every VM/));
  assert(has("low", /6 \(user alice\) has every capability/));
  assert(has("medium", /\[write\] lets process memory of every VM/));
  assert(!found.some((each) => each.found.includes("user root")), "root may do everything anyway");
});

Deno.test("overrides of the unit that widen it, and none that narrow it", () => {
  using host = new Host();
  host.write(
    "units/vmsigd.service.d/wide.conf",
    "[Service]\nAmbientCapabilities=CAP_SYS_PTRACE CAP_SYS_ADMIN\nUser=root\nNoNewPrivileges=no\nMemoryMax=infinity\n" +
      "SystemCallFilter=\nLimitCORE=infinity\nDeviceAllow=/dev/mem rw\n",
  );
  const found = host.found().filter(({ check }) => check === "unit");
  assertEquals(found.map((each) => /: (\w+)=/.exec(each.found)?.[1]).sort(), [
    "AmbientCapabilities",
    "DeviceAllow",
    "LimitCORE",
    "MemoryMax",
    "NoNewPrivileges",
    "SystemCallFilter",
    "User",
  ]);
  assertEquals(host.one(/CAP_SYS_ADMIN/).severity, "high");
  host.write(
    "units/vmsigd.service.d/wide.conf",
    "[Service]\nExecStart=\nExecStart=/usr/bin/vmsig serve --config /etc/x\nMemoryMax=4G\nProtectHome=yes\nUMask=0077\n" +
      "SystemCallFilter=~ptrace\nRestart=always\n",
  );
  assertEquals(host.found().filter(({ check }) => check === "unit"), []);
});

Deno.test("the kernel's settings, swap and the daemon's own process", () => {
  using host = new Host();
  host.write("proc/sys/fs/protected_symlinks", "0\n");
  host.write("proc/sys/kernel/yama/ptrace_scope", "0\n");
  host.write("proc/swaps", "Filename Type\n/dev/sda2 partition 1 0 1\n/dev/dm-1 partition 1 0 1\n");
  host.write("sys/block/dm-1/dm/uuid", "CRYPT-PLAIN-x\n");
  host.write("proc/mounts", "proc /proc proc rw 0 0\n");
  assertEquals(host.one(/fs\.protected_symlinks is 0/).severity, "medium");
  assertEquals(host.one(/ptrace_scope is 0/).severity, "low");
  assertMatch(host.one(/can come to lie in/).found, /\/dev\/sda2/);
  assertEquals(host.one(/without hidepid/).severity, "note");
  using _socket = listenUnix(host.places.socket, SOCKET.SEQPACKET);
  const status = (uid: number, caps: string, more: string) =>
    `Name:\tvmsig\nUid:\t${uid}\t0\t0\t0\nCapEff:\t${caps}\n${more}`;
  const here = `proc/${Deno.pid}`;
  host.write(`${here}/status`, status(999, "000000000008000a", "NoNewPrivs:\t1\nSeccomp:\t2\n"));
  host.write(`${here}/limits`, "Max core file size 0 unlimited bytes\n");
  host.write(`${here}/coredump_filter`, "00000033\n");
  assertEquals(host.found().filter(({ check }) => check === "process"), []);
  host.write(`${here}/status`, status(999, "000000000028000a", "NoNewPrivs:\t0\nSeccomp:\t0\n"));
  host.write(`${here}/limits`, "Max core file size unlimited unlimited bytes\n");
  assertEquals(host.one(/more capabilities than the unit gives \(CapEff 28000a\)/).severity, "high");
  assertEquals(host.one(/leaves a core with guests' RAM/).severity, "medium");
  assertEquals(host.found().filter(({ check }) => check === "process").length, 4);
});

Deno.test("doctor --security: one object a finding, exit 1 for a weakness, a pipe as config does not hold it up", async () => {
  using host = new Host();
  host.config('[[admission]]\nuid = 31337\nendpoints = ["web"]\ncaps = ["observe"]\n');
  const ran = await vmsig([
    "doctor",
    "--security",
    "--json",
    "--config",
    host.places.config,
    "--socket",
    host.places.socket,
  ]);
  assertEquals(ran.code, 1, ran.errors);
  const found = ran.text.trim().split("\n").map((line) => JSON.parse(line) as Weakness);
  for (const each of found) assertEquals(Object.keys(each).sort(), ["check", "found", "remedy", "severity"]);
  assert(found.some((each) => /uid 31337/.test(each.found)));
  const table = await vmsig([
    "doctor",
    "--security",
    "--config",
    host.places.config,
    "--socket",
    host.places.socket,
  ]);
  assertMatch(table.text, /^medium +rules +\[\[admission\]\] 1 \(uid 31337\)/m);
  Deno.removeSync(host.places.config);
  new Deno.Command("mkfifo", { args: [host.places.config] }).outputSync();
  const pipe = await vmsig([
    "doctor",
    "--security",
    "--json",
    "--config",
    host.places.config,
    "--socket",
    host.places.socket,
  ]);
  assertMatch(pipe.text, /a pipe, a socket or a device/);
});
