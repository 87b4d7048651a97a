/**
 * Lines of every command, good and bad, with the exit code that each must end with. The table test runs them
 * in its own process, plain and with `--json`; compile:check runs them by the compiled executable and by the
 * sources, and compares. Words in capitals stand for what the runner has: SOCKET a daemon with the stub
 * endpoints stub0 and stub1, FOLDER a folder to write in, RAM an image of a Linux guest's memory, RECORDING a
 * recording, TEXT the address
 * of its kernel, FIFO a FIFO that nobody opens, BUSY a socket on which somebody listens already.
 * @module
 */

/** One line. */
export interface CommandLineRow {
  /** The words behind "vmsig"; `--socket SOCKET` is added where the command talks to a daemon. */
  readonly words: readonly string[];
  /** The exit code; 0 unless told. */
  readonly code?: number;
  /** The code's name of an error: "usage". */
  readonly error?: string;
  /** What standard output must match when it is not an error. */
  readonly out?: RegExp;
  /** It must not run in a process that goes on: it changes how that takes signals, or never returns. */
  readonly ownProcess?: boolean;
  /** It is given no `--socket`: the line has one, or its command takes none. */
  readonly isWithoutSocket?: boolean;
  /** Output that `--json` leaves as it is. */
  readonly isRaw?: boolean;
}

const usage = (...words: string[]): CommandLineRow => ({ words, code: 2, error: "usage" });
const fails = (error: string, code: number, ...words: string[]): CommandLineRow => ({ words, code, error });
const good = (out: RegExp, ...words: string[]): CommandLineRow => ({ words, out });
const alone = (row: CommandLineRow): CommandLineRow => ({ ...row, isWithoutSocket: true });
const apart = (row: CommandLineRow): CommandLineRow => ({ ...row, isWithoutSocket: true, ownProcess: true });

/** Socket of no daemon. */
const NOWHERE = ["--socket", "/nowhere/x.sock"];

/** The lines, by command. */
export const COMMAND_LINES: Readonly<Record<string, readonly CommandLineRow[]>> = {
  serve: [
    alone(usage("serve", "--stub", "65")),
    alone(usage("serve", "--stub", "many")),
    alone(usage("serve", "now")),
    alone(fails("bad-argument", 1, "serve", "--config", "FOLDER/none.toml")),
    apart(fails("bad-argument", 1, "serve", "--config", "FIFO")),
    apart(fails("bad-argument", 1, "serve", "--config", "/dev/zero")),
    apart(fails("refused", 1, "serve", "--stub", "1", "--socket", "/proc/x/control.sock")),
    apart(fails("busy", 1, "serve", "--stub", "1", "--socket", "BUSY")),
  ],
  ls: [
    good(/stub0/, "ls"),
    usage("ls", "stub0"),
    usage("ls", "--nosuch"),
    alone(fails("unreachable", 4, "ls", ...NOWHERE)),
    alone(fails("unreachable", 4, "ls", "--socket", "FOLDER")),
  ],
  watch: [
    good(/ROSTER|AUDIT/, "watch", "--count", "1"),
    good(/stub0/, "watch", "stub0", "--kind", "ROSTER", "--count", "1"),
    { words: ["watch", "--for", "0"] },
    usage("watch", "--kind", "NOSUCH"),
    usage("watch", "--source", "nosuch"),
    usage("watch", "--count", "0"),
    fails("no-endpoint", 1, "watch", "nobody"),
    alone(fails("unreachable", 4, "watch", ...NOWHERE)),
  ],
  vm: [
    good(/running|paused/, "vm", "stub0", "query"),
    good(/stub0|"ok":true/, "vm", "stub0", "stop"),
    good(/stub0|"ok":true/, "vm", "stub0", "cont"),
    good(/stub0|"ok":true/, "vm", "0", "reset", "--timeout", "5000"),
    usage("vm", "stub0", "fly"),
    usage("vm", "stub0", "save"),
    usage("vm", "stub0", "stop", "now"),
    fails("not-supported", 1, "vm", "stub0", "save", "one"),
    fails("not-supported", 1, "vm", "stub0", "snapshots"),
    fails("bad-argument", 1, "vm", "stub0", "delete", "x".repeat(200)),
    fails("no-endpoint", 1, "vm", "nobody", "load", "one"),
    usage("vm", "stub0"),
    usage("vm", "stub0", "stop", "--timeout", "0"),
    fails("no-endpoint", 1, "vm", "nobody", "stop"),
    fails("no-endpoint", 1, "vm", "63", "query"),
    alone(fails("unreachable", 4, "vm", "stub0", "query", ...NOWHERE)),
  ],
  lease: [
    good(/free|"busy":false/, "lease", "stub0", "input", "status"),
    { words: ["lease", "stub0", "power", "hold", "--ttl", "60000", "--", "true"] },
    { words: ["lease", "stub0", "power", "hold", "--", "sh", "-c", "exit 7"], code: 7 },
    fails("missing", 3, "lease", "stub0", "power", "hold", "--", "nosuchcommand"),
    usage("lease", "stub0", "power", "hold", "--"),
    usage("lease", "stub0", "power", "status", "--", "true"),
    usage("lease", "stub0", "strength", "status"),
    usage("lease", "stub0", "power", "take"),
    usage("lease", "stub0", "power", "hold", "--ttl", "1"),
    fails("no-endpoint", 1, "lease", "nobody", "power", "status"),
    alone(fails("unreachable", 4, "lease", "stub0", "input", "status", ...NOWHERE)),
  ],
  key: [
    good(/1 pressed|"chords":1/, "key", "stub0", "ctrl-c"),
    usage("key", "stub0", "nosuch"),
    usage("key", "stub0"),
    usage("key", "stub0", "a", "--hold", "-1"),
    fails("no-endpoint", 1, "key", "nobody", "a"),
    alone(fails("unreachable", 4, "key", "stub0", "a", ...NOWHERE)),
    alone(usage("key", "stub0", "nosuch", ...NOWHERE)),
  ],
  type: [
    good(/2 characters|"characters":2/, "type", "stub0", "hi"),
    good(/2 characters|"characters":2/, "type", "stub0", "--", "-v"),
    usage("type", "stub0", "naïve"),
    usage("type", "stub0"),
    fails("no-endpoint", 1, "type", "nobody", "hi"),
    alone(fails("unreachable", 4, "type", "stub0", "hi", ...NOWHERE)),
  ],
  mouse: [
    good(/move/, "mouse", "stub0", "move", "0", "32767"),
    good(/move/, "mouse", "stub0", "move", "50%", "100%"),
    good(/click/, "mouse", "stub0", "click", "right"),
    good(/drag/, "mouse", "stub0", "drag", "1", "1", "5", "5", "--steps", "2"),
    good(/scroll/, "mouse", "stub0", "scroll", "-1"),
    usage("mouse", "stub0", "move", "40000", "0"),
    usage("mouse", "stub0", "move", "-1", "0"),
    usage("mouse", "stub0", "move", "101%", "0"),
    usage("mouse", "stub0", "move", "0"),
    usage("mouse", "stub0", "click", "nosuch"),
    usage("mouse", "stub0", "scroll", "0"),
    usage("mouse", "stub0", "fly"),
    fails("no-endpoint", 1, "mouse", "nobody", "click"),
    alone(fails("unreachable", 4, "mouse", "stub0", "click", ...NOWHERE)),
  ],
  held: [
    { words: ["held", "stub0"] },
    usage("held"),
    fails("no-endpoint", 1, "held", "nobody"),
    alone(fails("unreachable", 4, "held", "stub0", ...NOWHERE)),
  ],
  vnc: [
    usage("vnc"),
    usage("vnc", "stub0", "--listen", "0.0.0.0:5900", "--password-file", "TEXT"),
    usage("vnc", "stub0", "--listen", "127.0.0.1:5900"),
    usage("vnc", "stub0", "--listen", "127.0.0.1:99999"),
    usage("vnc", "stub0", "--listen", "unix:"),
    usage("vnc", "stub0", "--listen", "unix:FOLDER/x.vnc", "--take", "glance"),
    usage("vnc", "stub0", "--listen", "unix:FOLDER/x.vnc", "--take", "key", "--view-only"),
    fails("refused", 1, "vnc", "stub0", "--listen", "unix:FOLDER/x.vnc", "--password-file", "FOLDER/none"),
    fails("busy", 1, "vnc", "stub0", "--listen", "unix:BUSY"),
    fails("no-endpoint", 1, "vnc", "nobody", "--listen", "unix:FOLDER/x.vnc"),
    alone(fails("unreachable", 4, "vnc", "stub0", "--listen", "unix:FOLDER/x.vnc", ...NOWHERE)),
  ],
  screen: [
    usage("screen"),
    usage("screen", "stub0", "--source", "window"),
    usage("screen", "pid:none"),
    usage("screen", "stub0", "--out", ""),
    fails("no-endpoint", 1, "screen", "nobody", "-o", "FOLDER/x.png"),
    alone(fails("unreachable", 4, "screen", "stub0", "-o", "FOLDER/x.png", ...NOWHERE)),
  ],
  console: [
    usage("console"),
    usage("console", "stub0", "list", "more"),
    usage("console", "stub0", "fly"),
    usage("console", "stub0", "--expect", "("),
    usage("console", "stub0", "--send", "\\q"),
    usage("console", "stub0", "--read-only", "--send", "x"),
    usage("console", "stub0", "--timeout", "5"),
    usage("console", "stub0", "--port", "32"),
    // A stub has no console; tests/guest/console.test.ts has the real ones.
    good(/console ENDPOINT/, "console", "--help"),
    fails("not-supported", 1, "console", "stub0", "list"),
    fails("not-supported", 1, "console", "stub0", "--expect", "x"),
    fails("no-endpoint", 1, "console", "nobody"),
    alone(fails("unreachable", 4, "console", "stub0", ...NOWHERE)),
  ],
  exec: [
    good(/exec ENDPOINT/, "exec", "--help"),
    usage("exec", "stub0"),
    usage("exec", "stub0", "--env", "x", "--", "ls"),
    usage("exec", "stub0", "--timeout", "0", "--", "ls"),
    fails("not-supported", 1, "exec", "stub0", "--", "ls"),
    fails("no-endpoint", 1, "exec", "nobody", "--", "ls"),
    alone(fails("unreachable", 4, "exec", "stub0", ...NOWHERE, "--", "ls")),
  ],
  cp: [
    good(/cp ENDPOINT:PATH/, "cp", "--help"),
    usage("cp", "a"),
    usage("cp", "a", "b"),
    usage("cp", "stub0:/a", "stub1:/b"),
    fails("not-supported", 1, "cp", "stub0:/etc/passwd", "FOLDER/passwd"),
    fails("bad-argument", 1, "cp", "FOLDER", "stub0:/tmp/x"),
    { ...fails("bad-argument", 1, "cp", "FIFO", "stub0:/tmp/x"), ownProcess: true },
    fails("bad-argument", 1, "cp", "/dev/zero", "stub0:/tmp/x"),
    fails("bad-argument", 1, "cp", "FOLDER/none", "stub0:/tmp/x"),
    fails("no-endpoint", 1, "cp", "nobody:/etc/passwd", "-"),
    alone(fails("unreachable", 4, "cp", "stub0:/etc/passwd", "-", ...NOWHERE)),
  ],
  agent: [
    good(/agent ENDPOINT/, "agent", "--help"),
    usage("agent", "stub0"),
    usage("agent", "stub0", "fly"),
    fails("not-supported", 1, "agent", "stub0", "ping"),
    fails("no-endpoint", 1, "agent", "nobody", "ping"),
    alone(fails("unreachable", 4, "agent", "stub0", "ping", ...NOWHERE)),
  ],
  wait: [
    good(/running|"state"/, "wait", "stub0", "--state", "running", "--timeout", "20000"),
    good(/ready/, "wait", "stub0", "--ready", "--timeout", "20000"),
    fails("timed-out", 1, "wait", "stub0", "--state", "crashed", "--timeout", "50"),
    usage("wait", "stub0"),
    usage("wait", "--ready"),
    usage("wait", "stub0", "--ready", "--change"),
    usage("wait", "stub0", "--state", "flying"),
    usage("wait", "stub0", "--text", "("),
    usage("wait", "stub0", "--still", "0"),
    usage("wait", "stub0", "--change", "--area", "1,2,3"),
    usage("wait", "stub0", "--change", "--area", "1,2,0,4"),
    usage("wait", "stub0", "--ready", "--area", "1,2,3,4"),
    usage("wait", "stub0", "--change", "--tolerance", "3"),
    usage("wait", "stub0", "--ready", "--timeout", "0"),
    fails("bad-argument", 1, "wait", "stub0", "--image", "FOLDER/none.png"),
    fails("bad-argument", 1, "wait", "stub0", "--image", "FOLDER"),
    { ...fails("bad-argument", 1, "wait", "stub0", "--image", "FIFO"), ownProcess: true },
    fails("bad-argument", 1, "wait", "stub0", "--image", "/dev/zero"),
    fails("no-endpoint", 1, "wait", "nobody", "--state", "running"),
    // A VM that is not there yet may come.
    fails("timed-out", 1, "wait", "nobody", "--ready", "--timeout", "50"),
    alone(fails("unreachable", 4, "wait", "stub0", "--ready", ...NOWHERE)),
  ],
  vgpu: [
    usage("vgpu", "stub0"),
    usage("vgpu", "stub0", "fly"),
    usage("vgpu", "stub0", "set"),
    usage("vgpu", "stub0", "status", "--fps", "30"),
    usage("vgpu", "stub0", "set", "--state", "fly"),
    usage("vgpu", "pid:none", "status"),
    fails("no-endpoint", 1, "vgpu", "nobody", "status"),
    alone(fails("unreachable", 4, "vgpu", "stub0", "status", ...NOWHERE)),
  ],
  v2v: [
    usage("v2v"),
    usage("v2v", "nosuch", "x"),
    usage("v2v", "listen"),
    usage("v2v", "listen", "x", "y"),
    usage("v2v", "listen", "x", "--order", "9"),
    usage("v2v", "listen", "a/b"),
    apart(fails("timed-out", 1, "v2v", "listen", "x", "--wait", "1", "--socket", "FOLDER/control.sock")),
    apart(fails("no-endpoint", 1, "v2v", "connect", "nobody", "--socket", "FOLDER/control.sock")),
  ],
  record: [
    good(/events/, "record", "-o", "FOLDER/session.cbor", "--for", "20"),
    usage("record"),
    usage("record", "-o", "FOLDER/x.cbor", "--keep", "1001"),
    fails("refused", 1, "record", "-o", "FOLDER/none/x.cbor", "--for", "20"),
    fails("refused", 1, "record", "-o", "FIFO", "--for", "20"),
    fails("refused", 1, "record", "-o", "/dev/full", "--for", "20"),
    alone(fails("unreachable", 4, "record", "-o", "FOLDER/x.cbor", ...NOWHERE)),
  ],
  replay: [
    alone(usage("replay")),
    alone(usage("replay", "RECORDING", "--speed", "fast")),
    alone(fails("refused", 1, "replay", "FOLDER/none.cbor")),
    alone(fails("refused", 1, "replay", "FOLDER")),
    apart(fails("refused", 1, "replay", "FIFO")),
    alone(fails("bad-argument", 1, "replay", "RAM")),
    alone(fails("busy", 1, "replay", "RECORDING", "--socket", "BUSY")),
  ],
  probe: [
    { words: ["probe"], isWithoutSocket: true },
    alone(usage("probe", "all")),
    alone(usage("probe", "--socket", "x")),
  ],
  doctor: [
    { words: ["doctor", "--config", "FOLDER/vmsigd.toml"], out: /daemon/ },
    { words: ["doctor", "--config", "FOLDER/none.toml"], code: 3, out: /config/ },
    alone({ words: ["doctor", ...NOWHERE], code: 3, out: /unreachable/ }),
    usage("doctor", "now"),
    usage("doctor", "--config"),
  ],
  mem: [
    apart(good(/synthetic/, "mem", "file:RAM", "info")),
    apart(good(/init/, "mem", "file:RAM", "ps")),
    apart({ words: ["mem", "file:RAM", "modules"] }),
    apart(good(/init/, "mem", "file:RAM", "ps", "--long")),
    apart(good(/init_task/, "mem", "file:RAM", "sym", "init_task")),
    apart(fails("bad-argument", 1, "mem", "file:RAM", "sym", "no_such_symbol")),
    apart(good(/task_struct/, "mem", "file:RAM", "type", "task_struct")),
    apart(fails("bad-argument", 1, "mem", "file:RAM", "type", "no_such_type")),
    apart(good(/ffffffff/, "mem", "file:RAM", "read", "kernel", "init_task+0x10", "16")),
    apart(fails("bad-argument", 1, "mem", "file:RAM", "read", "kernel", "no_such_symbol", "16")),
    apart(fails("not-supported", 1, "mem", "file:RAM", "dmesg")),
    apart(fails("not-supported", 1, "mem", "file:RAM", "files", "1")),
    apart(fails("not-supported", 1, "mem", "file:RAM", "sockets")),
    apart(fails("not-supported", 1, "mem", "file:RAM", "mounts")),
    apart({ words: ["mem", "file:RAM", "env", "1"] }),
    usage("mem", "stub0", "files", "kernel"),
    usage("mem", "stub0", "sockets", "1", "2"),
    usage("mem", "stub0", "dmesg", "--last", "0"),
    apart(good(/ffffffff/, "mem", "file:RAM", "read", "kernel", "TEXT", "16")),
    apart(
      fails(
        "not-mapped",
        1,
        "mem",
        "file:RAM",
        "find",
        "kernel",
        "fe fd fc fb fa f9 00 01 02 03 04 05 06 07",
      ),
    ),
    apart(fails("not-mapped", 1, "mem", "file:RAM", "read", "kernel", "0", "16")),
    apart(fails("not-supported", 1, "mem", "file:RAM", "write", "kernel", "TEXT", "00")),
    apart(fails("bad-argument", 1, "mem", "file:RAM", "maps", "4711")),
    apart(good(/MiB|"vmcoreinfo":true/, "mem", "file:RAM", "dump", "FOLDER/ram.core")),
    apart(fails("refused", 1, "mem", "file:RAM", "dump", "FOLDER")),
    apart(fails("refused", 1, "mem", "file:RAM", "dump", "FOLDER/none/ram.core")),
    apart(fails("not-mapped", 1, "mem", "file:RAM", "dump", "FOLDER/init.core", "--pid", "1")),
    apart(fails("bad-argument", 1, "mem", "file:RAM", "dump", "FOLDER/x.core", "--pid", "4711")),
    usage("mem", "stub0", "dump"),
    usage("mem", "stub0", "dump", "FOLDER/x.core", "--pid", "0"),
    fails("seam-down", 1, "mem", "stub0", "dump", "FOLDER/x.core"),
    usage("mem", "stub0", "ps", "--pid", "1"),
    alone(fails("refused", 1, "mem", "file:FOLDER/none", "ps")),
    apart(fails("bad-argument", 1, "mem", "file:FIFO", "ps")),
    alone(fails("bad-argument", 1, "mem", "file:/dev/zero", "ps")),
    alone(usage("mem", "pid:999999999", "ps")),
    usage("mem", "stub0"),
    usage("mem", "stub0", "nosuch"),
    usage("mem", "stub0", "read", "kernel", "no symbol", "16"),
    usage("mem", "stub0", "read", "kernel", "0", "0"),
    usage("mem", "stub0", "read", "kernel", "0", "0x100000000"),
    usage("mem", "stub0", "find", "kernel", "xyz"),
    usage("mem", "stub0", "maps", "kernel"),
    usage("mem", "stub0", "find", "kernel", "00", "--limit", "0"),
    fails("no-endpoint", 1, "mem", "nobody", "ps"),
    fails("seam-down", 1, "mem", "stub0", "ps"),
    alone(fails("unreachable", 4, "mem", "stub0", "ps", ...NOWHERE)),
  ],
  version: [
    alone(good(/0\.1\.0|"version"/, "version")),
    alone(usage("version", "now")),
    alone(usage("version", "--socket", "x")),
  ],
  help: [
    alone(good(/vmsig|"command"/, "help")),
    alone(good(/vmsig ls|"command":"ls"/, "help", "ls")),
    alone(usage("help", "nosuch")),
    alone(usage("help", "ls", "watch")),
    alone(usage("nosuch")),
    alone(usage("--nosuch")),
  ],
};

/** Commands whose good lines need a real VM: tests/guest has them. */
export const NEEDS_A_VM: ReadonlySet<string> = new Set(["screen", "vgpu"]);
/** Commands whose good lines do not end by themselves: they have tests of their own beside the table. */
export const GOES_ON: ReadonlySet<string> = new Set(["serve", "replay", "v2v", "vnc"]);
