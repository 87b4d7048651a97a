/**
 * What QEMU says of its character devices, as QEMU 7.2 says it.
 * @module
 */
import { assertEquals } from "@std/assert";
import { channelDevices, readChannels } from "../../../../src/adapters/channel/channel_listing.ts";

const chardev = (label: string, filename: string, open = true) => ({
  "frontend-open": open,
  filename,
  label,
});
const device = (
  role: "serial" | "virtio-console" | "virtio-port",
  chardev: unknown,
  portName: unknown = "",
) => ({
  path: "/machine/peripheral/x",
  role,
  chardev,
  portName,
});

Deno.test("channels: the devices of one folder, by their types", () => {
  const children = [
    { name: "device[1]", type: "child<isa-serial>" },
    { name: "device[2]", type: "child<isa-parallel>" },
    { name: "type", type: "string" },
    { name: "hvc", type: "child<virtconsole>" },
    { name: "agent", type: "child<virtserialport>" },
    null,
    { name: 7, type: "child<isa-serial>" },
  ];
  assertEquals(channelDevices("/machine/peripheral", children), [
    { path: "/machine/peripheral/device[1]", role: "serial" },
    { path: "/machine/peripheral/hvc", role: "virtio-console" },
    { path: "/machine/peripheral/agent", role: "virtio-port" },
  ]);
  for (const wrong of [undefined, "x", {}, 7]) assertEquals(channelDevices("/machine/peripheral", wrong), []);
});

Deno.test("channels: where the host's end is, and whether somebody has it", () => {
  const channels = readChannels([
    chardev("a", "disconnected:unix:/run/vm, one.sock,server=on"),
    chardev("b", "unix:/run/b.sock,server=on"),
    chardev("c", "pty:/dev/pts/3"),
    chardev("d", "vc"),
    chardev("e", "unix:"),
    chardev("f", "disconnected:tcp:127.0.0.1:4444,server=on"),
    chardev("g", "pty:/dev/pts/../../etc/passwd"),
    chardev("org", "disconnected:unix:/run/ga.sock,server=on", false),
    chardev("monitor", "unix:/run/qmp.sock,server=on"),
  ], [
    device("virtio-port", "org", "org.qemu.guest_agent.0"),
    ...["a", "b", "c", "d", "e", "f", "g", "", "a", "nosuch", 7].map((label) => device("serial", label)),
  ]);
  assertEquals(
    channels.map(({ label, place }) => [label, place.kind === "unix" ? place.isFree : place.kind]),
    [
      ["a", true],
      ["b", false],
      ["c", "pty"],
      ["d", "other"],
      ["e", "other"],
      ["f", "other"],
      ["g", "other"],
      ["org", true],
    ],
  );
  const [a, , , d] = channels;
  assertEquals(a?.place.kind === "unix" && a.place.path, "/run/vm, one.sock");
  assertEquals(d?.place.kind === "other" && d.place.why, "its other end is in QEMU itself or elsewhere (vc)");
  const agent = channels.at(-1);
  assertEquals([agent?.role, agent?.portName, agent?.isGuestOpen], [
    "virtio-port",
    "org.qemu.guest_agent.0",
    false,
  ]);
});
