/**
 * What a guest needs to run TypeScript: Deno itself with its shared libraries, the shim, the npm packages of
 * the lockfile, and folders of this checkout under /repo. For what the host has no device for (uinput).
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { exists } from "./content_cache.ts";

/** A file for the guest, by where it is here. */
export interface PayloadFile {
  /** Its path in the guest. */
  readonly guestPath: string;
  /** Its path here. */
  readonly hostPath: string;
  /** Whether it is a program. */
  readonly executable: boolean;
}

const ROOT = new URL("../../", import.meta.url).pathname;

/** How the guest's Deno is called: everything is in the guest already, nothing is downloaded. */
export const GUEST_DENO: readonly string[] = [
  "DENO_DIR=/deno",
  "/bin/deno",
  "run",
  "-A",
  "--cached-only",
  "--no-check",
];

/** Deno, its libraries and its packages: the same for every guest. */
export async function denoRuntime(): Promise<PayloadFile[]> {
  const deno = Deno.execPath();
  const files: PayloadFile[] = [{ guestPath: "/bin/deno", hostPath: deno, executable: true }];
  for (const library of await sharedLibraries(deno)) {
    files.push({ guestPath: library, hostPath: await Deno.realPath(library), executable: true });
  }
  const npm = `${Deno.env.get("DENO_DIR") ?? `${ROOT}.tools/deno_dir`}/npm`;
  if (!await exists(npm)) {
    throw new Fault(
      "missing",
      `Cannot pack Deno for a guest: no npm packages in ${npm}; run scripts/setup.sh base`,
    );
  }
  files.push(...filesUnder(npm, "/deno/npm"));
  return files;
}

/** Folders and files of this checkout (relative to its top), the shim, deno.json and the lockfile. */
export async function repositoryFiles(paths: readonly string[]): Promise<PayloadFile[]> {
  const files: PayloadFile[] = [];
  for (const path of ["deno.json", "deno.lock", "shim/libvmsig_shim.so", ...paths]) {
    const hostPath = `${ROOT}${path}`;
    if (!await exists(hostPath)) {
      throw new Fault("missing", `Cannot pack ${path} for a guest: there is no ${hostPath}`);
    }
    if ((await Deno.stat(hostPath)).isDirectory) files.push(...filesUnder(hostPath, `/repo/${path}`));
    else files.push({ guestPath: `/repo/${path}`, hostPath, executable: false });
  }
  return files;
}

function filesUnder(folder: string, guestFolder: string): PayloadFile[] {
  const files: PayloadFile[] = [];
  for (const entry of Deno.readDirSync(folder)) {
    const hostPath = `${folder}/${entry.name}`;
    const guestPath = `${guestFolder}/${entry.name}`;
    if (entry.isDirectory) files.push(...filesUnder(hostPath, guestPath));
    else if (entry.isFile) files.push({ guestPath, hostPath, executable: false });
  }
  return files.sort((a, b) => a.guestPath < b.guestPath ? -1 : 1);
}

/** The absolute paths that ldd names: the libraries and the loader. */
async function sharedLibraries(program: string): Promise<string[]> {
  const { success, stdout } = await new Deno.Command("ldd", { args: [program], stdout: "piped" }).output();
  const paths = [...new TextDecoder().decode(stdout).matchAll(/(\/\S+) \(0x/g)].map((match) =>
    match[1] ?? ""
  );
  if (!success || paths.length === 0) {
    throw new Fault("missing", `Cannot pack Deno for a guest: ldd ${program} names no libraries`);
  }
  return paths;
}
