/**
 * apt for another Debian suite, with a state and a cache of its own below tests/.cache: what it downloads
 * comes from where this machine's packages come from, and nothing of this machine is changed.
 * @module
 */
import { Fault } from "../../src/base/fault.ts";
import { CACHE_DIR, exists } from "../guest/content_cache.ts";

/** Debian's own keys. */
const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** apt and its like, set to a suite. */
export class SuiteApt {
  /** The folder of its state; `cache/archives` has what it downloaded. */
  readonly dir: string;
  readonly #what: string;

  private constructor(dir: string, what: string) {
    this.dir = dir;
    this.#what = what;
  }

  /**
   * Sets it up, and gets the suite's lists.
   *
   * @param suite "trixie", "sid"
   * @param what what it is for, for messages: "the QEMU of another suite"
   * @throws {Fault} `missing` when the suite cannot be had
   */
  static async of(suite: string, what: string): Promise<SuiteApt> {
    const apt = new SuiteApt(`${CACHE_DIR}suites/${suite}`, what);
    const { dir } = apt;
    for (const folder of ["state/lists/partial", "cache/archives/partial", "etc"]) {
      await Deno.mkdir(`${dir}/${folder}`, { recursive: true });
    }
    await Deno.writeTextFile(`${dir}/state/status`, "");
    const options = await exists(KEYS) ? `signed-by=${KEYS}` : "arch=amd64";
    await Deno.writeTextFile(
      `${dir}/etc/sources.list`,
      `deb [${options}] ${await apt.#archiveUri()} ${suite} main\n`,
    );
    await Deno.writeTextFile(
      `${dir}/etc/apt.conf`,
      `Dir::State "${dir}/state"; Dir::State::status "${dir}/state/status"; Dir::Cache "${dir}/cache";
Dir::Etc::SourceList "${dir}/etc/sources.list"; Dir::Etc::SourceParts "/dev/null";
APT::Architecture "amd64"; APT::Architectures { "amd64"; }; Acquire::Languages "none";
APT::Sandbox::User "";
`,
    );
    await apt.run("apt-get", ["-q", "update"]);
    return apt;
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
