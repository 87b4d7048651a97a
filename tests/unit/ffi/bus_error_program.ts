/**
 * Maps two files, one with a guard and one without, cuts both and reads them: see `lost_file_test.ts`.
 * @module
 */
import { createMemfd, ftruncate } from "../../../ffi/memfd.ts";
import { Mapping, PAGE_BYTES } from "../../../ffi/mapping.ts";
import { shim } from "../../../ffi/shim.ts";

const file = createMemfd("cut", PAGE_BYTES);
const guarded = Mapping.map(file.fd, 0, PAGE_BYTES, { write: false });
const address = shim().vmsig_mmap(file.fd, 0, PAGE_BYTES, 0);
ftruncate(file.fd, 0);
console.log(`guarded: ${new Uint8Array(guarded.buffer)[0]}`);
console.log(`not guarded: ${shim().vmsig_load64(address)}`);
