/**
 * Asks a VM's monitor for its byte channels: some ten questions without an effect on the VM.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import { questionsTo } from "../../qemu/monitor/qmp_questions.ts";
import {
  type AskedDevice,
  type Channel,
  type ChannelDevice,
  channelDevices,
  DEVICE_FOLDERS,
  MAX_CHANNELS,
  readChannels,
} from "./channel_listing.ts";

/** Told once: the channels; undefined when the monitor was lost meanwhile, or does not say. */
export type ChannelListener = (channels: Channel[] | undefined) => void;

/**
 * Those who wait for a look whose first question the monitor has not answered yet: its result is as new as
 * that of a look of their own.
 */
const beginning = new WeakMap<QmpLink, ChannelListener[]>();

/**
 * Asks. Callers that ask together (each adapter, when the monitor comes up) share one look.
 *
 * @param link the monitor, up
 */
export function findChannels(link: QmpLink, done: ChannelListener): void {
  const others = beginning.get(link);
  if (others !== undefined) {
    others.push(done);
    return;
  }
  const listeners = [done];
  beginning.set(link, listeners);
  const begun = (): void => {
    if (beginning.get(link) === listeners) beginning.delete(link);
  };
  look(link, begun, (channels) => {
    assert(beginning.get(link) !== listeners, "nobody joins a look that is over");
    for (const listener of listeners) listener(channels);
  });
}

/** @param begun called at each answer, before anything else */
function look(link: QmpLink, begun: () => void, done: ChannelListener): void {
  const ask = questionsTo(link, () => done(undefined), begun);
  const devices: ChannelDevice[] = [];
  const asked: AskedDevice[] = [];
  const askDevice = (): void => {
    const device = devices[asked.length];
    if (device === undefined || asked.length === MAX_CHANNELS) {
      return ask("query-chardev", undefined, (chardevs) => done(readChannels(chardevs, asked)));
    }
    const get = (property: string, then: (value: unknown) => void) =>
      ask("qom-get", { path: device.path, property }, then);
    get("chardev", (chardev) => {
      if (device.role !== "virtio-port") {
        asked.push({ ...device, chardev, portName: "" });
        return askDevice();
      }
      get("name", (portName) => {
        asked.push({ ...device, chardev, portName });
        askDevice();
      });
    });
  };
  const askFolder = (index: number): void => {
    const path = DEVICE_FOLDERS[index];
    if (path === undefined) return askDevice();
    ask("qom-list", { path }, (children) => {
      devices.push(...channelDevices(path, children));
      askFolder(index + 1);
    });
  };
  askFolder(0);
}
