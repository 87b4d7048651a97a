/**
 * Several guests at once, for tests of rosters, v2v and scale: one image, started together, and all gone when
 * the group is disposed, also when only some of them came up.
 * @module
 */
import { buildGuest } from "./build.ts";
import { type GuestOptions, type Qemu, startGuest } from "./qemu.ts";

/** Guests that live and die together. */
export class Guests implements AsyncDisposable {
  /** In the order of the options. */
  readonly all: readonly Qemu[];

  /** Takes them over. */
  constructor(all: readonly Qemu[]) {
    this.all = all;
  }

  /** The guest with this number. */
  at(index: number): Qemu {
    const guest = this.all[index];
    if (guest === undefined) throw new RangeError(`there is no guest ${index} among ${this.all.length}`);
    return guest;
  }

  /** Ends them all; the first error is thrown after each has had its turn. */
  async [Symbol.asyncDispose](): Promise<void> {
    const results = await Promise.allSettled(this.all.map((guest) => guest[Symbol.asyncDispose]()));
    const failed = results.find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}

/**
 * Boots guests, as many at a time as there are processors: more at once make none of them faster.
 *
 * @param options one entry a guest; guests with equal specs share one image
 * @throws {GuestError} when one does not come up; then none is left
 */
export async function startGuests(options: readonly GuestOptions[]): Promise<Guests> {
  // Built before the first boots, so that a build does not compete with boots.
  for (const option of options) {
    if (option.image === undefined) await buildGuest(option);
  }
  const started: (Qemu | undefined)[] = options.map(() => undefined);
  let next = 0;
  let failure: { reason: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (next < options.length && failure === undefined) {
      const index = next++;
      try {
        started[index] = await startGuest({ name: `guest${index}`, ...options[index] });
      } catch (reason) {
        failure ??= { reason };
      }
    }
  };
  await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, worker));
  const guests = new Guests(started.filter((guest) => guest !== undefined));
  if (failure === undefined) return guests;
  await guests[Symbol.asyncDispose]();
  throw failure.reason;
}
