/**
 * What QEMU's monitor says about character devices and the devices before them.
 */
import { assert } from "@std/assert";
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
