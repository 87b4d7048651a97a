/**
 * A program that rings one doorbell by the other way that the shim has (the look, then a write() under a
 * timer), until it is told that it is enough; it waits for "go" between making the bell and ringing it.
 * @module
 */
import { Doorbell } from "../../ffi/doorbell.ts";
import { shim } from "../../ffi/shim.ts";

const RINGS_A_LOOK = 1000;
using bell = Doorbell.create();
console.log(`bell ${bell.fd}`);
await Deno.stdin.read(new Uint8Array(16));
let isEnough = false;
Deno.stdin.read(new Uint8Array(16)).then(() => isEnough = true);
let rung = 0, full = 0;
while (!isEnough || rung === 0 || full === 0) {
  for (let i = 0; i < RINGS_A_LOOK; i++) {
    const result = shim().vmsig_bell_ring_timed(bell.fd);
    if (result === 1) rung++;
    else if (result === 0) full++;
    else throw new Error(`ringing gave ${result}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
}
console.log("enough");
