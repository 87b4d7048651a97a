/**
 * The examples that people copy, each run as its header says: an agent by the official MCP client, the loop
 * that reads a value and presses a key, the boot test, and the CI file, whose lines are run as a runner runs
 * them. The installer runs in tests/nightly/installer.test.ts.
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { DEMO_GUEST } from "../../scripts/demo_guest.ts";
import { scratchMachine } from "../../src/testing/mod.ts";
import { buildGuest } from "./build.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** Reached by a hang alone. */
const timeoutMs = 300_000;
const APPEND = "console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on";

async function run(words: readonly string[], env: Record<string, string>, cwd = ROOT) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...words],
    cwd,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout), errors: decoder.decode(stderr) };
}

Deno.test("examples: an agent, and a loop that reads a value and presses a key", async (t) => {
  const { kernelPath: kernel, initrdPath: initrd } = await buildGuest(DEMO_GUEST);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-examples-" });
  try {
    await using scratch = await scratchMachine({
      kernel,
      initrd,
      append: APPEND,
      memoryMiB: 256,
      accelerator: "tcg",
      timeoutMs,
      artifacts: folder,
    });
    await scratch.machine.screen.text("guest#");
    const env = { VMSIG_SOCKET: scratch.socket };
    await t.step("agent.ts", async () => {
      const main = `${Deno.execPath()} run -q -A --no-check ${ROOT}main.ts`;
      const words = ["run", "-q", "-A", "--no-check", "examples/agent.ts", "scratch"];
      const { code, text, errors } = await run(words, { ...env, VMSIG: main });
      assertEquals(code, 0, errors + text);
      assertMatch(text, /wait: .*"what":"text"/);
      assertStringIncludes(text, "lease_give_back: Given back.");
    });
    await t.step("game_loop.ts", async () => {
      const words = ["run", "-q", "-A", "--no-check", "examples/game_loop.ts", "scratch", "2"];
      const { code, text, errors } = await run(words, env);
      assertEquals(code, 0, errors);
      assertMatch(text, /^space 1: jiffies \d+, .*\nspace 2: /);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("examples: the boot test, of a kernel", async () => {
  const { kernelPath: KERNEL, initrdPath: INITRD } = await buildGuest(DEMO_GUEST);
  const folder = await Deno.makeTempDir({ prefix: "vmsig-examples-" });
  try {
    const words = [
      "test",
      "-A",
      "--no-check",
      "--config",
      `${ROOT}deno.json`,
      `${ROOT}examples/boot_test.ts`,
    ];
    const env = { KERNEL, INITRD, APPEND, PROMPT: "guest#", MEMORY_MIB: "256", ACCELERATOR: "tcg" };
    const { code, text, errors } = await run(words, env, folder);
    assertEquals(code, 0, errors + text);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A step of a workflow that runs something, as far as ci.yml uses them. */
interface CiStep {
  readonly name: string;
  readonly run: string;
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The steps that run something; those of others' actions (`uses`) are the runner's. */
function stepsOf(file: string): CiStep[] {
  return file.split(/^ {6}- /m).slice(1).flatMap((step) => {
    const one = (key: string) => new RegExp(`^(?: {8})?${key}: (.*)$`, "m").exec(step)?.[1];
    const block = (key: string) =>
      new RegExp(`^ {8}${key}:(?: \\|)?\n((?: {10}.*\n?)+)`, "m").exec(step)?.[1];
    const run = block("run") ?? one("run");
    if (run === undefined) return [];
    const env = (block("env") ?? "").split("\n").filter((line) => line.trim() !== "").map((line) => {
      const [, key = "", value = ""] = /^ {10}(\w+): (.*)$/.exec(line) ?? [];
      return [key, value.replace(/^"(.*)"$/, "$1")] as const;
    });
    const [name = "", folder = "."] = [one("name"), one("working-directory")];
    return [{ name, run: run.replaceAll(/^ {10}/gm, ""), folder, env: Object.fromEntries(env) }];
  });
}

/** What a runner's root is asked for is looked at and not done: this machine stays as it is. */
const SUDO = `#!/bin/sh
set -eu
printf '%s\n' "$*" >>"$SUDO_LOG"
case "$1 $2" in
  "apt-get install")
    for word in "$@"; do package=$word; done
    dpkg-query -W "$package" >/dev/null ;;
  "apt-get update" | "chmod 666") ;;
  *) exit 1 ;;
esac
`;

/** A disk whose boot sector writes "login:" and stops. */
function bootDisk(): Uint8Array {
  const disk = new Uint8Array(1024 * 1024);
  // xor ax, ax; mov ds, ax; cld; mov si, 0x7c18; next: lodsb; or al, al; jz done; mov ah, 14; mov bh, 0;
  // int 0x10; jmp next; done: hlt; jmp done
  const code = [0x31, 0xc0, 0x8e, 0xd8, 0xfc, 0xbe, 0x18, 0x7c, 0xac, 0x08, 0xc0, 0x74];
  disk.set([...code, 0x08, 0xb4, 0x0e, 0xb7, 0x00, 0xcd, 0x10, 0xeb, 0xf3, 0xf4, 0xeb, 0xfd]);
  disk.set(new TextEncoder().encode("login: "), code.length + 12);
  disk.set([0x55, 0xaa], 510);
  return disk;
}

Deno.test("examples: the CI file, line by line, in a workspace of its own", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-examples-" });
  const decoder = new TextDecoder();
  const git = async (...words: string[]) => {
    const { code, stderr } = await new Deno.Command("git", {
      args: ["-c", "user.name=test", "-c", "user.email=test@localhost", ...words],
      cwd: ROOT,
      env: { GIT_DIR: `${folder}/vmsig.git`, GIT_WORK_TREE: ROOT, GIT_CONFIG_GLOBAL: "/dev/null" },
      stdin: "null",
    }).output();
    assertEquals(code, 0, `git ${words.join(" ")}: ${decoder.decode(stderr)}`);
  };
  try {
    // What lies here now, as a repository: this checkout may have changes, or no history.
    await git("init", "-q");
    await git("add", "-A");
    await git("commit", "-q", "-m", "As it is now");
    const workspace = `${folder}/workspace`;
    await Deno.mkdir(workspace);
    await Deno.mkdir(`${folder}/bin`);
    await Deno.writeTextFile(`${folder}/bin/sudo`, SUDO, { mode: 0o755 });
    await Deno.writeFile(`${workspace}/image.qcow2`, bootDisk());
    const steps = stepsOf(await Deno.readTextFile(`${ROOT}examples/ci.yml`));
    assertEquals(steps.map(({ name }) => name), [
      "QEMU, and the right to use KVM",
      "vmsig",
      "Boot it, and see the prompt",
    ]);
    for (const { name, run, folder: within, env } of steps) {
      const filled = Object.entries(env).map(([key, value]) => [
        key,
        value.replaceAll("${{ github.workspace }}", workspace)
          .replaceAll("${{ vars.VMSIG_REPOSITORY }}", `file://${folder}/vmsig.git`),
      ]);
      // As a runner does it.
      const { code, stdout, stderr } = await new Deno.Command("bash", {
        args: ["--noprofile", "--norc", "-eo", "pipefail", "-c", run],
        cwd: `${workspace}/${within}`,
        env: {
          NO_COLOR: "1",
          PATH: `${folder}/bin:${Deno.execPath().replace(/\/[^/]*$/, "")}:${Deno.env.get("PATH") ?? ""}`,
          SUDO_LOG: `${folder}/sudo.log`,
          ACCELERATOR: "tcg",
          ...Object.fromEntries(filled),
        },
        stdin: "null",
      }).output();
      assertEquals(code, 0, `${name}: ${decoder.decode(stdout)}${decoder.decode(stderr)}`);
      if (name.startsWith("Boot")) assertStringIncludes(decoder.decode(stdout), "1 passed");
    }
    assertEquals((await Deno.readTextFile(`${folder}/sudo.log`)).split("\n").length, 4);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("examples: the installer says what it needs", async () => {
  const { code, errors } = await run(["run", "-q", "-A", "--no-check", "examples/installer.ts"], {});
  assertEquals(code, 2);
  assertStringIncludes(errors, "--cdrom FILE");
});
