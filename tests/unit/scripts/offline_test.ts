/**
 * Set-up, compile and deb on a machine whose registry and downloads cannot be reached, as they are run: one
 * line that says what is missing and how to give it. Nobody listens on port 1 of the loopback.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../../", import.meta.url).pathname;
const NOWHERE = "http://127.0.0.1:1";
const OFFLINE: Readonly<Record<string, string>> = {
  HTTP_PROXY: NOWHERE,
  HTTPS_PROXY: NOWHERE,
  NO_COLOR: "1",
};
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin";

interface Said {
  readonly code: number;
  readonly text: string;
}

async function run(program: string, args: readonly string[], env: Record<string, string>): Promise<Said> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: ROOT,
    env: { ...OFFLINE, ...env },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-offline-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Where this Deno has its packages. */
async function packagesOf(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).npmCache;
}

Deno.test("compile and deb without the runtime base end with one line: what is missing, how to give it", async () => {
  await withFolder(async (folder) => {
    // The packages are there; a runtime base that a download has left is not.
    await Deno.mkdir(`${folder}/cache`);
    await Deno.symlink(await packagesOf(), `${folder}/cache/npm`);
    const env = { PATH: SYSTEM_PATH, HOME: folder, TMPDIR: folder, DENO_DIR: `${folder}/cache` };
    const version = Deno.version.deno;
    if (await Deno.stat(`${ROOT}.tools/denort-${version}`).then(() => true, () => false)) return;
    const lines = [["compile.ts", `${folder}/vmsig`], ["deb.ts", "--output", folder]];
    for (const [script, ...args] of lines) {
      const words = ["run", "-A", "--no-check", `scripts/build/${script}`, ...args];
      const missing = await run(Deno.execPath(), words, env);
      assertEquals(missing.code, 3, missing.text);
      assertMatch(
        missing.text,
        new RegExp(
          `^vmsig: missing: Cannot compile: the runtime base of Deno ${version} is not here and cannot` +
            `[^\n]*; give it by DENORT_BIN=FILE, the file denort of Deno's release v${version}, or put it at ` +
            `\\.tools/denort-${version}\n$`,
        ),
      );
      const absent = await run(Deno.execPath(), words, { ...env, DENORT_BIN: `${folder}/none` });
      assertEquals(absent.code, 3, absent.text);
      assertMatch(
        absent.text,
        /^vmsig: missing: [^\n]*cannot be read: [^\n]*; give it by DENORT_BIN=FILE[^\n]*\n$/,
      );
    }
  });
});

Deno.test("set-up without a network uses what is there, and says how to give what is not", async () => {
  const pins = await Deno.readTextFile(`${ROOT}scripts/pins.sh`);
  const isPinned = new RegExp(`^DENO_VERSION=${Deno.version.deno.replaceAll(".", "\\.")}$`, "m").test(pins);
  await withFolder(async (folder) => {
    const top = `${folder}/top`;
    const { code } = await new Deno.Command("cp", {
      args: ["-r", "--parents", "scripts", "shim", "deno.json", "deno.lock", top],
      cwd: (await Deno.mkdir(top), ROOT),
    }).output();
    assertEquals(code, 0);
    const env = { HOME: folder, TMPDIR: folder, NPM_CONFIG_REGISTRY: NOWHERE, npm_config_fetch_retries: "0" };
    const setUp = (path: string) => run(`${top}/scripts/setup.sh`, ["base"], { ...env, PATH: path });

    const noDeno = await setUp(SYSTEM_PATH);
    assertEquals(noDeno.code, 3, noDeno.text);
    assertMatch(
      noDeno.text,
      /^vmsig: missing: Deno [\d.]+; npm install [^\n]*; without a network: put its executable at \.tools\/deno\/bin\/deno, or in PATH\n$/m,
    );
    if (!isPinned) return;
    const noPackages = await setUp(`${Deno.execPath().replace(/\/[^/]*$/, "")}:${SYSTEM_PATH}`);
    assertEquals(noPackages.code, 3, noPackages.text);
    assertMatch(noPackages.text, /^set-up: Deno [\d.]+, from \//m);
    assertMatch(
      noPackages.text,
      /^vmsig: missing: npm packages; [^\n]*copy \.tools\/deno_dir from a checkout/m,
    );
    assert((await Deno.stat(`${top}/.tools/deno/bin/deno`)).isFile);
  });
});
