/**
 * The port of host integrations: a table that is there makes a host, a place goes to the host that it names,
 * and a host that is not used says so.
 */
import "../ffi/loaded_shim.ts";
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { AssertionFault } from "../../../src/base/assert.ts";
import { Log } from "../../../src/base/log.ts";
import { refusalWords } from "../../../src/hosts/libvirt/domain_agent.ts";
import { connectFailure } from "../../../src/hosts/libvirt/libvirt_connection.ts";
import { HOST_NAMES, type HostConfigs, readHosts } from "../../../src/hosts/hosts.ts";
import { Hosts, loadMakers } from "../../../src/hosts/makers.ts";
import { TomlSource } from "../../../src/toml/table_reader.ts";
import { ManualLoop } from "../../fixtures/manual_loop.ts";

const read = (text: string): HostConfigs => readHosts(new TomlSource(text, "x").root);

async function hostsOf(text: string): Promise<{ readonly hosts: Hosts; readonly lines: string[] }> {
  const lines: string[] = [];
  const configs = read(text);
  const hosts = new Hosts(configs, await loadMakers(configs), {
    loop: new ManualLoop(),
    log: new Log("test", "debug", (line) => lines.push(line)),
    isTrusted: () => false,
    onVms: () => {},
  });
  return { hosts, lines };
}

Deno.test("hosts: only a table that is there makes one, and its keys are checked", () => {
  assertEquals(read(""), {});
  assertEquals(read("[libvirt]\ndiscover = false").libvirt, {
    uri: "qemu:///system",
    socket: "/run/libvirt/libvirt-sock",
    users: [],
    discover: false,
    ownMonitor: false,
  });
  const fault = assertThrows(() => read("[libvirt]\nsokcet = '/run/x'"), Fault);
  assertStringIncludes(fault.message, "x:2: libvirt.sokcet");
});

Deno.test("hosts: no name is one that a place or the config uses for something else", () => {
  const taken = ["tcp", "unix", "daemon", "discovery", "endpoint", "channel", "admission", "policy", "write"];
  for (const name of HOST_NAMES) {
    assert(/^[a-z][a-z0-9]*$/.test(name) && !taken.includes(name), name);
  }
});

Deno.test("hosts: a place goes to the host that it names; one that is not used says what to add", async () => {
  const { hosts } = await hostsOf("");
  for (const place of ["/run/web.qmp", "tcp:127.0.0.1:4444"]) {
    assertEquals(hosts.transportTo(place), undefined);
  }
  for (const name of HOST_NAMES) {
    const transport = hosts.transportTo(`${name}:web`);
    assert(transport !== undefined);
    assertEquals(transport.canReconnect, false);
    const attempt = transport.connect();
    assert(attempt.outcome === "failed");
    assertEquals(attempt.loss.text, `${name} is not used: no [${name}]`);
    assertStringIncludes(attempt.loss.remedy ?? "", `add a table [${name}]`);
  }
});

Deno.test("hosts: one that is used is asked for its VM, and starts and stops once", async () => {
  const { hosts } = await hostsOf("[libvirt]\nsocket = '/nowhere/libvirt-sock'");
  const transport = hosts.transportTo("libvirt:web");
  assert(transport !== undefined);
  assertEquals([transport.name, transport.canReconnect], ["libvirt:web", true]);
  const attempt = transport.connect();
  assert(attempt.outcome === "failed");
  assertEquals(attempt.loss.text, "libvirt is away");
  hosts.start();
  assertThrows(() => hosts.start(), AssertionFault);
  hosts.stop();
  assertThrows(() => hosts.stop(), AssertionFault);
});

Deno.test("libvirt: what to do when its socket cannot be connected to stands before the socket's path", () => {
  const path = `/run/user/1000/${"x".repeat(80)}/libvirt-sock`;
  const told = (errno: number) => connectFailure(new OsError(`connect to ${path}`, errno));
  assertEquals(
    told(ERRNO.ENOENT),
    `is libvirtd running? Cannot connect to ${path}: No such file or directory (ENOENT)`,
  );
  assertStringIncludes(told(ERRNO.EACCES), "is vmsigd's user in the group libvirt? Cannot connect");
});

Deno.test("libvirt: of what it says for an agent, the agent's own words are told, and a pause as a pause", () => {
  const preamble = "internal error: unable to execute QEMU agent command 'guest-exec': ";
  assertEquals(refusalWords(`${preamble}no room`), "no room");
  assertStringIncludes(
    refusalWords("Requested operation is not valid: domain is not running"),
    "the VM is paused",
  );
  assertEquals(refusalWords("access denied"), "access denied");
});
