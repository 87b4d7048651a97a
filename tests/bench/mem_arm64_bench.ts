/**
 * The walk of arm64's page tables beside x86-64's: the same 64 MiB of scattered 4 KiB pages in one synthetic
 * RAM, mapped by tables of either. No guest: one under TCG costs half a minute and gives the same tables.
 * @module
 */
import { AddressSpace } from "../../src/guest/address_space.ts";
import { ARM64_4, type Paging, X64_4 } from "../../src/guest/paging.ts";
import { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../src/guest/synthetic_ram.ts";
import { type Bench, type BenchResult, resultOf } from "./bench.ts";

const MIB = 2 ** 20;
const PAGE = 4096;
const RAM_BYTES = 256 * MIB;
const MAPPED_BYTES = 64 * MIB;
const BASE = 0x5555_4000_0000;
const N = 65_536;
const ROUNDS = 15;
const WARM = 40;

/** Hands out pages of tables, from the RAM's start. */
class Tables {
  readonly #ram: SyntheticRam;
  readonly #links: number;
  readonly #page: number;
  readonly root: number;
  #next: number;
  readonly #known = new Map<string, number>();

  /** @param links flags of an entry that is a table. @param page of one that is a page */
  constructor(ram: SyntheticRam, first: number, links: number, page: number) {
    this.#ram = ram;
    this.#links = links;
    this.#page = page;
    this.root = first;
    this.#next = first + PAGE;
  }

  map(gva: number, gpa: number): void {
    let table = this.root;
    for (const shift of [39, 30, 21]) {
      const at = Math.floor(gva / 2 ** shift);
      const key = `${shift}:${at}`;
      let next = this.#known.get(key);
      if (next === undefined) {
        next = this.#next;
        this.#next += PAGE;
        this.#known.set(key, next);
        this.#ram.put64(table + 8 * (at % 512), 0, next + this.#links);
      }
      table = next;
    }
    this.#ram.put64(table + 8 * (Math.floor(gva / PAGE) % 512), 0, gpa + this.#page);
  }
}

function makeSpaces(): { readonly arm: AddressSpace; readonly x64: AddressSpace } {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: RAM_BYTES }]);
  const x64 = new Tables(ram, PAGE, 7, 7);
  const arm = new Tables(ram, 8 * MIB, 3, 0xf43);
  const pages = MAPPED_BYTES / PAGE;
  for (let i = 0; i < pages; i++) {
    // A permutation: the multiplier is odd, and there is a power of two of pages.
    const gpa = 64 * MIB + (i * 40_503 % pages) * PAGE;
    x64.map(BASE + i * PAGE, gpa);
    arm.map(BASE + i * PAGE, gpa);
  }
  const memory = new PhysicalMemory(ram);
  const space = (paging: Paging, root: number) =>
    new AddressSpace(memory, paging, root, undefined, PAGE * 1024);
  return { arm: space(ARM64_4, arm.root), x64: space(X64_4, x64.root) };
}

/** Each translation waits for the one before: `zero` is 0, which the engine cannot know. */
function chainArm64(space: AddressSpace, addresses: Float64Array, zero: number): number {
  let sum = 0;
  let at = 0;
  for (let i = 0; i < addresses.length; i++) {
    const gpa = space.translate(addresses[at] as number);
    sum += gpa;
    at = (at + 1 + (gpa & zero)) & (addresses.length - 1);
  }
  return sum;
}

/** The same; a function of its own, so that neither meets both walkers. */
function chainX64(space: AddressSpace, addresses: Float64Array, zero: number): number {
  let sum = 0;
  let at = 0;
  for (let i = 0; i < addresses.length; i++) {
    const gpa = space.translate(addresses[at] as number);
    sum += gpa;
    at = (at + 1 + (gpa & zero)) & (addresses.length - 1);
  }
  return sum;
}

function nsEach(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1e6 / N;
}

function measure(): BenchResult {
  const { arm, x64 } = makeSpaces();
  const words = MAPPED_BYTES / 8;
  const addresses = Float64Array.from({ length: N }, () => BASE + Math.floor(Math.random() * words) * 8);
  const [ours, peer]: [number[], number[]] = [[], []];
  let [mine, theirs] = [0, 0];
  for (let round = -WARM; round < ROUNDS; round++) {
    const a = nsEach(() => mine = chainArm64(arm, addresses, 0));
    const b = nsEach(() => theirs = chainX64(x64, addresses, 0));
    if (mine !== theirs || mine < 0) throw new Error(`the walks disagree: ${mine} ${theirs}`);
    if (round < 0) continue;
    ours.push(a);
    peer.push(b);
  }
  return resultOf("mem.translate.arm64", "ns", "lower", ours, peer, "the same pages by x86-64's tables");
}

/** The figure. */
export const benches: readonly Bench[] = [{ name: "mem.translate.arm64", run: measure }];
