import { assert, assertEquals } from "@std/assert";
import { monotonicClock } from "../../../ffi/clock.ts";
import { Log } from "../../../src/base/log.ts";
import { Loop } from "../../../src/core/loop.ts";
import { TriggerDirectory } from "../../../src/roster/trigger_directory.ts";
import "../ffi/loaded_shim.ts";

/** A watched directory, what the listener was told, and what the log says. */
class Rig implements Disposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vmsig-trigger-" });
  readonly path = `${this.folder}/endpoints.d`;
  readonly files = new Map<string, string>();
  readonly told: string[] = [];
  readonly lines: string[] = [];
  readonly log = new Log("test", "error", (line) => this.lines.push(line));
  readonly loop = new Loop({ clock: monotonicClock, log: this.log });
  readonly triggers: TriggerDirectory;

  constructor(prepare: (path: string) => void = (path) => Deno.mkdirSync(path, { mode: 0o755 })) {
    prepare(this.path);
    this.triggers = new TriggerDirectory({
      path: this.path,
      loop: this.loop,
      log: this.log,
      ownUid: Deno.uid() ?? -1,
      listener: {
        onFile: (name, text) => {
          if (text.includes("bad")) throw new Error(`Cannot use ${name}: bad`);
          this.told.push(`+${name}`);
          this.files.set(name, text);
        },
        onGone: (name) => {
          this.told.push(`-${name}`);
          this.files.delete(name);
        },
      },
    });
    this.settle(() => false, 60);
  }

  /** Turns the loop until something holds; a bound on the wait, not a measure of speed. */
  settle(holds: () => boolean, atMostMs = 60_000): boolean {
    const untilMs = performance.now() + atMostMs;
    while (!holds() && performance.now() < untilMs) this.loop.turn(20);
    return holds();
  }

  drop(name: string, text: string): void {
    Deno.writeTextFileSync(`${this.path}/.${name}.new`, text);
    Deno.renameSync(`${this.path}/.${name}.new`, `${this.path}/${name}`);
  }

  says(part: string): boolean {
    return this.lines.some((line) => line.includes(part));
  }

  [Symbol.dispose](): void {
    this.triggers.close();
    this.triggers[Symbol.dispose]();
    this.loop[Symbol.dispose]();
    Deno.removeSync(this.folder, { recursive: true });
  }
}

Deno.test("files there at start, renamed in, written, changed and deleted are told", () => {
  using rig = new Rig((path) => {
    Deno.mkdirSync(path);
    Deno.writeTextFileSync(`${path}/first`, "one");
  });
  assert(rig.settle(() => rig.files.get("first") === "one"));
  rig.drop("second", "two");
  assert(rig.settle(() => rig.files.get("second") === "two"));
  Deno.writeTextFileSync(`${rig.path}/second`, "changed");
  assert(rig.settle(() => rig.files.get("second") === "changed"));
  Deno.removeSync(`${rig.path}/first`);
  Deno.renameSync(`${rig.path}/second`, `${rig.folder}/elsewhere`);
  assert(rig.settle(() => rig.files.size === 0));
  assertEquals(rig.lines, []);
});

Deno.test("a file that is still being written is not read before it is closed", () => {
  using rig = new Rig();
  const file = Deno.openSync(`${rig.path}/slow`, { create: true, write: true });
  file.writeSync(new TextEncoder().encode("ha"));
  rig.settle(() => false, 80);
  assertEquals(rig.told, []);
  file.writeSync(new TextEncoder().encode("lf"));
  file.close();
  assert(rig.settle(() => rig.files.get("slow") === "half"));
  assertEquals(rig.told, ["+slow"]);
});

Deno.test("hidden, backup and temporary files are passed over in silence", () => {
  using rig = new Rig();
  for (const name of [".hidden", "vm~", "vm.tmp", ".vm.swp"]) {
    Deno.writeTextFileSync(`${rig.path}/${name}`, "text");
  }
  rig.drop("real", "text");
  assert(rig.settle(() => rig.files.has("real")));
  assertEquals([...rig.files.keys()], ["real"]);
  assertEquals(rig.lines, []);
});

Deno.test("a link, a directory, a pipe, a file too large, one of others, and no text are each refused with the reason", () => {
  using rig = new Rig();
  Deno.writeTextFileSync(`${rig.folder}/target`, "text");
  Deno.symlinkSync(`${rig.folder}/target`, `${rig.path}/link`);
  Deno.mkdirSync(`${rig.path}/folder`);
  Deno.writeFileSync(`${rig.path}/large`, new Uint8Array(10_000_000));
  Deno.writeFileSync(`${rig.path}/binary`, new Uint8Array([0xff, 0xfe, 0]));
  Deno.writeTextFileSync(`${rig.path}/open`, "text");
  Deno.chmodSync(`${rig.path}/open`, 0o666);
  const pipe = new Deno.Command("mkfifo", { args: [`${rig.path}/pipe`] }).outputSync();
  assertEquals(pipe.code, 0);
  const reasons = [
    "link is not used: it is a symbolic link",
    "folder is not used: it is a directory",
    "large is not used: it is larger than",
    "binary is not used: it is not UTF-8",
    "open is not used: others may write it",
    "pipe is not used: it is not a plain file",
  ];
  assert(rig.settle(() => reasons.every((reason) => rig.says(reason))), rig.lines.join("\n"));
  assertEquals([rig.files.size, rig.lines.length], [0, reasons.length]);
});

Deno.test("a hard link to a file that is whole counts at once; who takes a bad file away and puts it there again is told again", () => {
  using rig = new Rig();
  Deno.writeTextFileSync(`${rig.folder}/whole`, "text");
  Deno.chmodSync(`${rig.folder}/whole`, 0o644);
  Deno.linkSync(`${rig.folder}/whole`, `${rig.path}/vm`);
  assert(rig.settle(() => rig.files.get("vm") === "text"));
  for (const times of [1, 2]) {
    rig.drop("vm", "bad");
    assert(rig.settle(() => rig.lines.length === times));
    Deno.removeSync(`${rig.path}/vm`);
    rig.settle(() => false, 80);
  }
  assertEquals(rig.told, ["+vm", "-vm"]);
});

Deno.test({
  name: "a file of another user is refused: who may write there may steer VMs",
  ignore: Deno.uid() !== 0,
  fn: () => {
    using rig = new Rig();
    Deno.writeTextFileSync(`${rig.folder}/theirs`, "text");
    Deno.chownSync(`${rig.folder}/theirs`, 65534, 65534);
    Deno.renameSync(`${rig.folder}/theirs`, `${rig.path}/theirs`);
    assert(rig.settle(() => rig.says("belongs to uid 65534")));
    assertEquals(rig.files.size, 0);
  },
});

Deno.test("a directory that others may write is not used until it is mended", () => {
  using rig = new Rig((path) => {
    Deno.mkdirSync(path);
    Deno.chmodSync(path, 0o777);
    Deno.writeTextFileSync(`${path}/vm`, "text");
  });
  assert(rig.settle(() => rig.says("is not used: others than root")));
  assertEquals(rig.files.size, 0);
  Deno.chmodSync(rig.path, 0o755);
  assert(rig.settle(() => rig.files.has("vm")));
});

Deno.test("a file that was good and is broken now is told gone, with one line of why", () => {
  using rig = new Rig();
  rig.drop("vm", "good");
  assert(rig.settle(() => rig.files.has("vm")));
  rig.drop("vm", "bad");
  assert(rig.settle(() => rig.told.includes("-vm")));
  rig.drop("vm", "bad still");
  rig.settle(() => false, 80);
  assertEquals(rig.lines.length, 1);
  rig.drop("vm", "good again");
  assert(rig.settle(() => rig.files.get("vm") === "good again"));
});

Deno.test("the directory removed and made again, or not there at first, is found", () => {
  using rig = new Rig(() => {});
  assertEquals(rig.lines, []);
  Deno.mkdirSync(rig.path);
  rig.drop("vm", "one");
  assert(rig.settle(() => rig.files.get("vm") === "one"));
  Deno.removeSync(rig.path, { recursive: true });
  assert(rig.settle(() => rig.files.size === 0));
  Deno.mkdirSync(rig.path);
  rig.drop("vm", "two");
  assert(rig.settle(() => rig.files.get("vm") === "two"));
  Deno.renameSync(rig.path, `${rig.folder}/away`);
  assert(rig.settle(() => rig.files.size === 0));
});

Deno.test("more changes than the kernel's queue holds end with the directory as it is", () => {
  using rig = new Rig();
  const limit = Number(Deno.readTextFileSync("/proc/sys/fs/inotify/max_queued_events"));
  const rounds = Math.ceil(limit / 200) + 1;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < 100; i++) Deno.writeTextFileSync(`${rig.path}/vm${i}`, `${round}`);
  }
  for (let i = 50; i < 100; i++) Deno.removeSync(`${rig.path}/vm${i}`);
  assert(rig.settle(() => rig.files.size === 50 && rig.files.get("vm0") === `${rounds - 1}`));
});
