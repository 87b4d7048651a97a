/**
 * What QEMU's monitor says about character devices and the devices before them, and what /proc says of a
 * process that has one of them open.
 */
import { assert } from "@std/assert";
import { deviceOfMount } from "../../src/adapters/channel/channel_holder.ts";
import { channelDevices, MAX_CHANNELS, readChannels } from "../../src/adapters/channel/channel_listing.ts";
import { fuzz } from "./harness.ts";

const decoder = new TextDecoder();
const LISTING = JSON.stringify({
  folder: [
    { name: "device[1]", type: "child<isa-serial>" },
    { name: "hvc", type: "child<virtconsole>" },
    { name: "agent", type: "child<virtserialport>" },
  ],
  chardevs: [
    { "frontend-open": true, filename: "disconnected:unix:/run/a.sock,server=on", label: "a" },
    { "frontend-open": false, filename: "pty:/dev/pts/3", label: "b" },
    { "frontend-open": true, filename: "vc", label: "c" },
  ],
  labels: ["a", "b", "c"],
});

fuzz({
  name: "QEMU's answers about character devices",
  corpus: () => [LISTING],
  largest: 16_384,
  words: [
    "child<",
    "unix:/",
    "disconnected:",
    "pty:/dev/pts/",
    ",server=on",
    "null",
    "[",
    '"label"',
    "serial",
  ],
  decode: (input) => {
    let value: { folder?: unknown; chardevs?: unknown; labels?: unknown } | null;
    try {
      value = JSON.parse(decoder.decode(input));
    } catch (error) {
      if (error instanceof SyntaxError) return "not JSON";
      throw error;
    }
    const devices = channelDevices("/machine/peripheral", value?.folder);
    const labels = Array.isArray(value?.labels) ? value.labels : [];
    const asked = devices.map((device, i) => ({ ...device, chardev: labels[i], portName: labels[i] }));
    const channels = readChannels(value?.chardevs, asked);
    assert(devices.length <= MAX_CHANNELS && channels.length <= MAX_CHANNELS);
    for (const { label, place, portName } of channels) {
      assert(label.length > 0 && label.length <= 64 && portName.length <= 128);
      if (place.kind === "unix") assert(place.path.startsWith("/") && place.path.length <= 108);
      if (place.kind === "pty") assert(/^\/dev\/pts\/\d+$/.test(place.path));
    }
    return channels.length > 0 ? "channels" : devices.length > 0 ? "devices" : "nothing";
  },
  mustMeet: ["channels", "devices", "nothing", "not JSON"],
});

const INFO = "pos:\t0\nflags:\t0100002\nmnt_id:\t27\nino:\t6\n";
const MOUNTS = `26 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
27 26 0:24 / /dev/pts rw,nosuid,noexec,relatime shared:3 - devpts devpts rw,gid=5,mode=620,ptmxmode=000
`;

fuzz({
  name: "/proc of a process that has a terminal open",
  corpus: () => [`${INFO}\0${MOUNTS}`, "\0"],
  largest: 16_384,
  words: ["mnt_id:\t", "27", "27 26 0:24 ", "\n", "\0", ":", " "],
  decode: (input) => {
    const [info = "", ...mounts] = decoder.decode(input).split("\0");
    const device = deviceOfMount(info, () => mounts.join("\0"));
    assert(device === undefined || /^\d{1,10}:\d{1,10}$/.test(device));
    return device === undefined ? "nothing" : "device";
  },
  mustMeet: ["device", "nothing"],
});
