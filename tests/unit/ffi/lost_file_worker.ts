/** A thread that maps a file, cuts it and reads on, many times: see `lost_file_test.ts`. @module */
/// <reference lib="deno.worker" />
import { createMemfd, ftruncate } from "../../../ffi/memfd.ts";
import { Mapping, PAGE_BYTES } from "../../../ffi/mapping.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";

const ROUNDS = 300;
const PAGES = 8;

let lost = 0;
let sum = 0;
for (let round = 0; round < ROUNDS; round++) {
  const file = createMemfd("cut", PAGES * PAGE_BYTES);
  pwriteFrom(file.fd, new Uint8Array([1]), 0, 1, 0);
  pwriteFrom(file.fd, new Uint8Array([1]), 0, 1, PAGE_BYTES);
  const mapping = Mapping.map(file.fd, 0, PAGES * PAGE_BYTES, { write: false });
  ftruncate(file.fd, PAGE_BYTES);
  const bytes = new Uint8Array(mapping.buffer);
  for (let page = 0; page < PAGES; page++) sum += bytes[page * PAGE_BYTES] as number;
  if (mapping.lost) lost++;
  mapping[Symbol.dispose]();
  file.close();
}
self.postMessage({ rounds: ROUNDS, lost, sum });
