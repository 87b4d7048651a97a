/**
 * Debian's real guest agent for a test guest: the package is downloaded and unpacked into the cache, never
 * installed; its libraries are this machine's, which has them for QEMU.
 * @module
 */
import { Fault, messageOf } from "../../src/base/fault.ts";
import { until } from "../fixtures/daemon_process.ts";
import { aptCandidate } from "./apt_candidate.ts";
import { cached } from "./content_cache.ts";
import type { GuestAgent } from "./guest_agent.ts";
import type { GuestProcess } from "./guest_process.ts";

const PACKAGE = "qemu-guest-agent";

/** Reached by a guest alone that has none. */
const PORT_MS = 180_000;

/** How the guest starts it, where there is no udev that would name its port. */
export const START_AGENT: readonly string[] = [
  "/bin/qemu-ga",
  "-m",
  "virtio-serial",
  "-p",
  "/dev/vport0p1",
  "-t",
  "/run",
];

/** What starting it needs of the harness' line into the guest. */
export type AgentStarter = Pick<GuestAgent, "list" | "start">;

/**
 * Starts it where other virtio devices are before its port's, after which the port is called. The guest's
 * driver makes ports as QEMU tells it of them, which may come after its harness has said hello.
 *
 * @param guest the harness' line into it
 * @throws {Error} when no port appears
 */
export async function startAgent(guest: AgentStarter): Promise<GuestProcess> {
  let port: string | undefined;
  let devices: readonly string[] = [];
  try {
    await until("the guest has a virtio port", async () => {
      devices = await guest.list("/dev");
      port = devices.find((name) => /^vport\d+p1$/.test(name));
      return port !== undefined;
    }, PORT_MS);
  } catch (error) {
    throw new Error(`${messageOf(error)}; its /dev has ${devices.join(" ")}`);
  }
  return await guest.start(...START_AGENT.map((word) => word === "/dev/vport0p1" ? `/dev/${port}` : word));
}

/**
 * Arguments of QEMU for its channel, on a unix socket.
 *
 * @param more further properties of the port: ",id=port0"
 */
export function agentChannel(path: string, more = ""): string[] {
  return [
    "-device",
    "virtio-serial-pci",
    "-chardev",
    `socket,id=ga,path=${path},server=on,wait=off`,
    "-device",
    `virtserialport,chardev=ga,name=org.qemu.guest_agent.0${more}`,
  ];
}

/**
 * The agent and its libraries, by their paths in the guest.
 *
 * @throws {Fault} `missing` when apt cannot bring it
 */
export async function agentFiles(): Promise<Record<string, Uint8Array<ArrayBuffer>>> {
  const version = await aptCandidate(PACKAGE, (name) => output("apt-cache", ["policy", name])) ?? "none";
  const folder = await cached(
    "packages",
    `${PACKAGE}_${version.replaceAll(/[^\w.+-]/g, "_")}`,
    async (staging) => {
      await Deno.mkdir(staging);
      await output("apt-get", ["-qq", "-o", "APT::Sandbox::User=root", "download", PACKAGE], staging);
      const file = [...Deno.readDirSync(staging)].find(({ name }) => name.endsWith(".deb"))?.name;
      if (file === undefined) throw missing("apt-get download brings nothing");
      await output("dpkg-deb", ["-x", `${staging}/${file}`, staging]);
      await Deno.remove(`${staging}/${file}`);
    },
  );
  const program = `${folder}/usr/sbin/qemu-ga`;
  const files: Record<string, Uint8Array<ArrayBuffer>> = { "/bin/qemu-ga": await Deno.readFile(program) };
  const libraries = await output("ldd", [program]);
  if (libraries.includes("not found")) throw missing(`a library of it is not here: ${libraries}`);
  for (const [, path = ""] of libraries.matchAll(/(\/\S+) \(0x/g)) {
    files[path] = await Deno.readFile(await Deno.realPath(path));
  }
  return files;
}

async function output(program: string, args: string[], cwd?: string): Promise<string> {
  const options: Deno.CommandOptions = { args, stdout: "piped", stderr: "piped", env: { LC_ALL: "C" } };
  if (cwd !== undefined) options.cwd = cwd;
  const { success, stdout, stderr } = await new Deno.Command(program, options).output();
  if (!success) throw missing(`${program} ${args[0]}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}

function missing(why: string): Fault {
  return new Fault("missing", `Cannot get ${PACKAGE}: ${why}; run apt-get update as root`);
}
