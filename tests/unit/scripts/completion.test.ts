/**
 * The completions as the shells run them, with a program in place of vmsig that says which endpoints there
 * are.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { completion, type Shell } from "../../../scripts/build/completion.ts";
import { completionRules } from "../../../scripts/build/completion_rules.ts";
import { COMMANDS } from "../../../src/client/cli/command_table.ts";

/**
 * Two endpoints at one socket, one at another, one of a host; a name that a shell must not evaluate; and what
 * may be asked of a VM.
 */
const PROGRAM = `#!/bin/sh
echo "noise that nobody may see" >&2
case "$*" in
  "ls --json --nats "*) echo '{"host":"rack1","isUp":true,"endpoint":0,"name":"db","leases":{"input":"x"}}' ;;
  "ls --json --socket "*) echo '{"endpoint":0,"name":"other","state":"up"}' ;;
  "ls --json")
    echo '{"endpoint":0,"name":"web","state":"up"}'
    echo '{"endpoint":1,"name":"win$(touch OWNED)","state":"up"}'
    ;;
  "vm web snapshots --json")
    echo '{"endpoint":0,"snapshots":[{"name":"one","savedMs":1,"missing":[]},{"name":"two","savedMs":2}],"disks":[{"name":"d","format":"qcow2"}],"job":null}'
    ;;
  "console web list --json") printf '%s\\n' '{"number":0,"label":"serial0"}' '{"number":7,"label":"x"}' ;;
  "ask list --json") echo '{"id":"0123456789ab","vm":"web","question":"why \\"id\\":{"}' ;;
  *) exit 9 ;;
esac
`;

const MODES: Readonly<Record<Shell, (words: readonly string[]) => string>> = {
  bash: (words) => {
    const broken = words.flatMap(brokenByBash);
    return `source ./script; COMP_LINE=${quoted(words.join(" "))}; COMP_WORDS=(${
      broken.map(quoted).join(" ")
    }); COMP_CWORD=${broken.length - 1}; _vmsig; printf '%s\\n' "\${COMPREPLY[@]}"`;
  },
  zsh: (words) =>
    `compdef() { : }; compadd() { print -l -- "\${(@P)@[-1]}" }; compset() { : }; _files() { print -l -- *(N) }
     source ./script; words=(${words.map(quoted).join(" ")}); CURRENT=${words.length}; _vmsig | grep -- '^${
      words.at(-1)?.replace(/^.*[,=]|^file:/, "") ?? ""
    }'`,
  fish: (words) => `source ./script; complete -C ${quoted(words.join(" "))} | string replace -r '\\t.*' ''`,
};

/** Colons are words of their own to bash, unless they stand side by side. */
function brokenByBash(word: string): string[] {
  return word === "" ? [""] : word.match(/:+|[^:]+/g) ?? [];
}

function quoted(word: string): string {
  return `'${word}'`;
}

async function isThere(shell: Shell): Promise<boolean> {
  try {
    return (await new Deno.Command(shell, { args: ["--version"], stdout: "null", stderr: "null" }).output())
      .success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Asks a shell what may stand in place of the last word. */
async function ask(shell: Shell, folder: string, ...words: string[]): Promise<string[]> {
  const args = shell === "zsh" ? ["-f", "-c"] : shell === "bash" ? ["--norc", "-c"] : ["--no-config", "-c"];
  const { stdout, stderr } = await new Deno.Command(shell, {
    args: [...args, MODES[shell](["vmsig", ...words])],
    cwd: folder,
    env: { PATH: `${folder}:${Deno.env.get("PATH")}`, HOME: folder, TERM: "dumb" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "", words.join(" "));
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "").sort();
}

for (const shell of ["bash", "zsh", "fish"] as const) {
  const there = await isThere(shell);
  Deno.test({
    name: `${shell}: endpoints first and verbs second; kinds, sources, sockets; in silence`,
    ignore: !there,
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "vmsig-completion-" });
      try {
        await Deno.writeTextFile(`${folder}/script`, await completion(shell));
        await Deno.writeTextFile(`${folder}/vmsig`, PROGRAM);
        await Deno.chmod(`${folder}/vmsig`, 0o755);
        await Deno.writeTextFile(`${folder}/file.sock`, "");
        const says = (...words: string[]) => ask(shell, folder, ...words);

        assertEquals(await says("wat"), ["watch"]);
        assertEquals(await says("vm", "we"), ["web"]);
        assertEquals(await says("vm", "web", "st"), ["stop"]);
        assertEquals(
          await says("vm", "web", ""),
          [
            ...COMMANDS["vm"]?.usage[0]?.match(/query\S*/)?.[0].split("|") ?? [],
            ...["delete", "load", "save", "snapshots"],
          ].sort(),
        );
        assertEquals(await says("lease", "web", ""), ["agent", "console", "input", "memwrite", "power"]);
        assertEquals(await says("lease", "web", "power", ""), ["hold", "status"]);
        assertEquals(await says("mouse", "web", "click", "l"), ["left"]);
        assertEquals(await says("mem", "web", "read", "k"), ["kernel"]);
        assertEquals(await says("watch", "web", "we"), ["web"], "each of several");
        assertEquals(
          await says("vm", "watchdog", "st"),
          ["stop"],
          "an endpoint that is called like a command",
        );
        assertEquals(await says("help", "wat"), ["watch"]);
        assertEquals(await says("vm", "web", "stop", ""), []);

        assertEquals(await says("watch", "--s"), ["--socket", "--source"]);
        assertEquals(await says("vm", "web", "stop", "--soc"), ["--socket"]);
        assertEquals(await says("watch", "--source", "me"), ["memctx"]);
        const kinds = await says("watch", "--kind", "VM_");
        assertEquals(kinds, ["VM_LIFECYCLE"]);
        assertStringIncludes((await says("watch", "--kind", "ROSTER,VM_")).join(" "), "VM_LIFECYCLE");
        assertEquals(await says("screen", "web", "--source", "q"), ["qmp"]);
        assertEquals(await says("vm", "--socket", "file"), ["file.sock"]);
        assertEquals(await says("replay", "file"), ["file.sock"]);
        assertEquals(await says("vm", "--timeout", "5", "we"), ["web"], "an option's value is no argument");
        assertEquals(await says("vm", "--socket", "file.sock", ""), ["other"], "asked of that daemon");

        // Options of every client before the command.
        assertEquals(await says("--soc"), ["--socket"]);
        assertEquals(await says("--socket", "file"), ["file.sock"]);
        assertEquals(await says("--socket", "file.sock", "wat"), ["watch"]);
        assertEquals(await says("--socket", "file.sock", "vm", ""), ["other"]);
        assertEquals(await says("--nats", "nats://host", "outc"), ["outcome"]);
        // A value behind = is a part of the word, which fish gives back whole; bash makes words of it.
        const [equals, given] = shell === "bash"
          ? [["=", "file"], ""]
          : [[], shell === "fish" ? "--socket=" : ""];
        const line = shell === "bash" ? ["vm", "--socket", ...equals] : ["vm", "--socket=file"];
        assertEquals(await says(...line), [`${given}file.sock`]);

        assertEquals(await says("trace", "file"), ["file.sock"]);
        assertEquals(await says("mcp", "--endpoint", "we"), ["web"]);
        assertEquals(await says("join", "nats://host", "--events", "no"), ["none"]);
        assertEquals(await says("join", "nats://host", "--always", "vmh"), ["vmhost"]);
        assertEquals(await says("type", "web", "--layout", "d"), ["de", "de-nodeadkeys", "dk"]);

        // Where a name is a part of a word, the word goes on behind the colon.
        const names = (await says("vm", "")).map((name) => `${name}:`);
        assertEquals(names.length, 2);
        assertEquals(await says("cp", ""), [...names, "file.sock", "script", "vmsig"].sort());
        assertEquals(await says("cp", "we"), ["web:"]);
        assertEquals(await says("cp", "file.sock", ""), names, "to a guest");
        assertEquals(
          await says("cp", "web:/etc/passwd", ""),
          ["file.sock", "script", "vmsig"],
          "from a guest",
        );
        assertEquals(await says("cp", "web:/etc/passwd", "web"), []);
        assertEquals(await says("cp", "web:/et"), [], "what is in the guest is not known");
        assertEquals(await says("watch", "--memory", "we"), ["web:"]);
        assertEquals(await says("watch", "--memory", "web::jiffies:8", "--ra"), ["--rate"]);
        assertEquals(await says("watch", "--memory", "web::jiffies:8", "--memory", "we"), ["web:"]);
        assertEquals(await says("mem", "we"), ["web"]);
        assertEquals(await says("mem", "p"), ["pid:"]);
        assertEquals(await says("screen", "p"), ["pid:"]);
        assertEquals(await says("mem", "file:file"), [shell === "fish" ? "file:file.sock" : "file.sock"]);
        assertEquals(await says("mem", "file:file.sock", "ma"), ["maps"]);
        assertEquals(await says("mem", "pid:12", "ma"), ["maps"]);
        // What else a daemon knows.
        assertEquals(await says("vm", "web", "load", ""), ["one", "two"]);
        assertEquals(await says("vm", "web", "delete", "t"), ["two"]);
        assertEquals(await says("vm", "web", "save", ""), [], "a new name");
        assertEquals(await says("console", "web", "--port", ""), ["0", "7"]);
        assertEquals(await says("ask", "answer", ""), ["0123456789ab"]);
        assertEquals(await says("vm", "--nats", "nats://host:4222", ""), ["rack1/db"], "of that server");
        assertEquals(await says("--nats", "nats://host:4222", "cp", "ra"), ["rack1/db:"]);

        assert((await says("vm", "wi")).length === 1, "the odd name is offered");
        await says("vm", "");
        assert(!(await says("replay", "")).includes("OWNED"), "no name is evaluated");
        await Deno.writeTextFile(`${folder}/vmsig`, "#!/bin/sh\necho broken >&2\nexit 4\n");
        assertEquals(await says("vm", ""), [], "no daemon: nothing is offered, and nothing said");
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

Deno.test("every command is completed, and every option that takes a value is known to", async () => {
  const { commands, options, values, places } = await completionRules();
  assertEquals(commands, [...Object.keys(COMMANDS), "help"]);
  assertEquals([...options.keys()], ["", ...Object.keys(COMMANDS)]);
  assert(options.get("key")?.includes("--socket") && values.get("key --socket")?.files);
  assert(values.get("watch --kind")?.list && values.get("screen -o")?.files);
  assert(![...values.keys()].some((key) => key.endsWith("--json")));
  // Every place of every usage line at which an endpoint stands, as a word or as a part of one.
  const usesEndpoints = Object.entries(COMMANDS).filter(([, { usage }]) =>
    usage.some((line) => /(^| |\||\[)ENDPOINT/.test(line.replace(/ --memory \S+/, "")))
  ).map(([name]) => name);
  const completed = [...places].filter(([, { asked }]) => asked === "endpoints").map(([pattern]) =>
    pattern.split(" ")[0] ?? ""
  );
  assertEquals([...new Set(completed)].sort(), usesEndpoints.sort());
  assertEquals(values.get("watch --memory"), {
    words: [],
    asked: "endpoints",
    behind: ":",
    files: false,
    list: false,
  });
});
