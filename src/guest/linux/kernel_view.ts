/**
 * A kernel, as used by all readers of this folder: its address space, and its profile's offsets by name.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { AddressSpace } from "../address_space.ts";
import { isKernelPointer } from "./kernel_pointer.ts";
import { isProfileSymbol, type KernelProfile, type OptionalField, type RequiredField } from "./profile.ts";

export { isKernelPointer };

/** One running kernel. */
export class KernelView {
  /** The kernel's address space. */
  readonly space: AddressSpace;
  /** KASLR's offset of this boot. */
  readonly kernelOffset: number;
  #profile: KernelProfile;
  readonly #complete: () => KernelProfile | undefined;

  /**
   * Puts them together.
   *
   * @param space the kernel's address space
   * @param profile symbols and offsets of its build
   * @param kernelOffset KASLR's offset of this boot
   * @param complete completes a partial profile when something is needed that it lacks; called once
   */
  constructor(
    space: AddressSpace,
    profile: KernelProfile,
    kernelOffset: number,
    complete: () => KernelProfile | undefined = () => undefined,
  ) {
    this.space = space;
    this.kernelOffset = kernelOffset;
    this.#profile = profile;
    this.#complete = complete;
  }

  /** All that is known of the build. */
  get profile(): KernelProfile {
    if (this.#profile.partial === true) {
      const { partial: _partial, ...known } = this.#profile;
      this.#profile = this.#complete() ?? known;
    }
    return this.#profile;
  }

  /** Address of a symbol of the profile, KASLR included. */
  symbol(name: string): number | undefined {
    const address = this.#profile.symbols[name] ??
      (isProfileSymbol(name) ? this.profile.symbols[name] : undefined);
    return address === undefined ? undefined : address + this.kernelOffset;
  }

  /** Offset of a field that every profile has. */
  offset(field: RequiredField): number {
    const offset = this.#profile.offsets[field];
    assert(offset !== undefined, `a checked profile has ${field}`);
    return offset;
  }

  /** Offset of a field that this kernel may lack. */
  maybe(field: OptionalField): number | undefined {
    return this.#profile.offsets[field] ?? this.profile.offsets[field];
  }

  /** Offsets of several fields, or undefined as soon as one is missing. */
  all<const F extends readonly OptionalField[]>(
    ...fields: F
  ): { readonly [K in keyof F]: number } | undefined {
    const offsets = fields.map((field) => this.maybe(field));
    return offsets.includes(undefined) ? undefined : offsets as { readonly [K in keyof F]: number };
  }

  /**
   * A pointer, if it can be read and points at an aligned place in the kernel half; otherwise undefined (0
   * too).
   */
  pointer(base: number, offset: number): number | undefined {
    const value = this.space.readS64(base, offset);
    return isKernelPointer(value) ? value : undefined;
  }
}
