/**
 * The header of a recording, as things are when a file is begun, and an event as it goes in.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { VERSION } from "../../base/version.ts";
import { encodeRecordedEvent, encodeRecordingHeader } from "../../event/recording.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";

/** The header now. */
export function recordingHeader(client: Client): Uint8Array {
  return encodeRecordingHeader({
    host: { name: kernelText("hostname"), kernel: kernelText("osrelease") },
    versions: { vmsig: VERSION, protocol: PROTOCOL, deno: Deno.version.deno },
    startedAt: new Date().toISOString(),
    startedNs: Math.round(monotonicClock.nowNs()),
    roster: client.roster.list(),
  });
}

/** An event as an item. */
export function recordedEvent(event: ClientEvent): Uint8Array {
  const { kind, source, prio, endpoint, seq, corr, tsNs, inline, bodyFormat, body, fdCount: fds } = event;
  return encodeRecordedEvent({
    kind,
    source,
    prio,
    endpoint,
    seq,
    corr,
    tsNs,
    inline,
    bodyFormat,
    body,
    fds,
  });
}

function kernelText(name: string): string {
  return Deno.readTextFileSync(`/proc/sys/kernel/${name}`).trim();
}
