/**
 * apt for another Debian suite, with a state and a cache of its own below tests/.cache: what it downloads
 * comes from where this machine's packages come from, and nothing of this machine is changed.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { CACHE_DIR, exists } from "../guest/content_cache.ts";

/** Debian's own keys. */
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** apt and its like, set to a suite; until its disposal other runs that want the suite wait. */
export class SuiteApt implements Disposable {
  /** The folder of its state; `cache/archives` has what it downloaded. */
  readonly dir: string;
  readonly #what: string;
  readonly #lock: Deno.FsFile;
  readonly #architecture: string;

  private constructor(dir: string, what: string, lock: Deno.FsFile, architecture: string) {
    this.dir = dir;
    this.#architecture = architecture;
    this.#lock = lock;
    this.#what = what;
  }

  /**
   * Sets it up, and gets the suite's lists.
   *
   * @param suite "trixie", "sid"
   * @param what what it is for, for messages: "the QEMU of another suite"
   * @param architecture whose packages; another than this machine's may be downloaded alone
   * @throws {Fault} `missing` when the suite cannot be had
   */
  static async of(suite: string, what: string, architecture: string = "amd64"): Promise<SuiteApt> {
    const dir = `${CACHE_DIR}suites/${suite}${architecture === "amd64" ? "" : `-${architecture}`}`;
    await Deno.mkdir(dir, { recursive: true });
    // Worktrees may share a cache by a symbolic link, which goes with its worktree.
    const place = await Deno.realPath(dir);
    const lock = await Deno.open(`${place}/lock`, { create: true, write: true });
    await lock.lock(true);
    const apt = new SuiteApt(place, what, lock, architecture);
    try {
      await apt.#setUp(suite);
      return apt;
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  /** Its folders and settings, and the suite's lists. */
  async #setUp(suite: string): Promise<void> {
    const { dir } = this;
    for (const folder of ["state/lists/partial", "cache/archives/partial", "etc"]) {
      await Deno.mkdir(`${dir}/${folder}`, { recursive: true });
    }
    await Deno.writeTextFile(`${dir}/state/status`, "");
    const options = await exists(KEYS)
      ? `signed-by=${KEYS} arch=${this.#architecture}`
      : `arch=${this.#architecture}`;
    await Deno.writeTextFile(
      `${dir}/etc/sources.list`,
      `deb [${options}] ${await this.#archiveUri()} ${suite} main\n`,
    );
    await Deno.writeTextFile(
      `${dir}/etc/apt.conf`,
      `Dir::State "${dir}/state"; Dir::State::status "${dir}/state/status"; Dir::Cache "${dir}/cache";
Dir::Etc::SourceList "${dir}/etc/sources.list"; Dir::Etc::SourceParts "/dev/null";
APT::Architecture "${this.#architecture}"; APT::Architectures { "${this.#architecture}"; }; Acquire::Languages "none";
APT::Sandbox::User "";
`,
    );
    await this.run("apt-get", ["-q", "update"]);
  }

  /**
   * Runs apt-get, apt-cache or another program for this suite.
   *
   * @param cwd where; the present folder unless told
   * @returns what it printed
   * @throws {Fault} `missing`, with the last line of what it said, when it fails
   */
  async run(program: string, args: readonly string[], cwd?: string): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command(program, {
      args: [...args],
      env: { LC_ALL: "C", APT_CONFIG: `${this.dir}/etc/apt.conf` },
      ...cwd === undefined ? {} : { cwd },
      stdout: "piped",
      stderr: "piped",
    }).output();
    if (success) return new TextDecoder().decode(stdout);
    const why = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
    throw this.missing(`${program} ${args[0] ?? ""} failed: ${why}`);
  }

  /** Lets the next run in. */
  [Symbol.dispose](): void {
    this.#lock.close();
  }

  /** The fault of what cannot be had, and why. */
  missing(why: string): Fault {
    return new Fault("missing", `Cannot get ${this.#what}: ${why}`);
  }

  /** Where this machine's own suite comes from. */
  async #archiveUri(): Promise<string> {
    const { success, stdout } = await new Deno.Command("apt-get", {
      args: ["indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"],
      env: { LC_ALL: "C" },
      stdout: "piped",
      stderr: "null",
    }).output();
    for (const line of success ? new TextDecoder().decode(stdout).split("\n") : []) {
      const [origin, label, uri = ""] = line.split(" ");
      if (origin === "Debian" && label === "Debian") return uri.replace(/\/$/, "");
    }
    throw this.missing("apt knows no archive of Debian's; run apt-get update");
  }
}
