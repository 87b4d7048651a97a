/**
 * The scanner's thread: a Worker that handles one request after the other. What it learns about a kernel
 * build is cached for later guests with the same build.
 * @module
 */
import { scanGuest } from "../adapters/memctx/scan_guest.ts";
import type { KernelProfile } from "../guest/linux/profile.ts";
import type { ScanCall, ScanReturn } from "./scan_client.ts";

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<ScanCall>) => void) | null;
  postMessage(answer: ScanReturn): void;
};

/** A daemon sees few builds, but a guest could invent many. */
const MAX_PROFILES = 64;

const profiles = new Map<string, KernelProfile>();

worker.onmessage = ({ data }) => {
  const answer = scanGuest(data.request, profiles);
  for (const [oldest] of profiles) {
    if (profiles.size <= MAX_PROFILES) break;
    profiles.delete(oldest);
  }
  worker.postMessage({ id: data.id, answer });
};
