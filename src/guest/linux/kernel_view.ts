/**
 * A kernel as its lists are read: its address space, and its profile's offsets by name. What every reader of
 * this folder starts from.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { AddressSpace } from "../address_space.ts";
import { isKernelPointer } from "./kernel_pointer.ts";
import type { KernelProfile, OptionalField, RequiredField } from "./profile.ts";

export { isKernelPointer };

/** One running kernel. */
export class KernelView {
  /** The kernel's address space. */
  readonly space: AddressSpace;
  /** Symbols and offsets of its build. */
  readonly profile: KernelProfile;
  /** KASLR's offset of this boot. */
  readonly kernelOffset: number;

  /**
   * Puts them together.
   *
   * @param space the kernel's address space
   * @param profile symbols and offsets of its build
   * @param kernelOffset KASLR's offset of this boot
   */
  constructor(space: AddressSpace, profile: KernelProfile, kernelOffset: number) {
    this.space = space;
    this.profile = profile;
    this.kernelOffset = kernelOffset;
  }

  /** Address of a symbol of the profile, KASLR included. */
  symbol(name: string): number | undefined {
    const address = this.profile.symbols[name];
    return address === undefined ? undefined : address + this.kernelOffset;
  }

  /** Offset of a field that every profile has. */
  offset(field: RequiredField): number {
    const offset = this.profile.offsets[field];
    assert(offset !== undefined, `a checked profile has ${field}`);
    return offset;
  }

  /** Offset of a field that this kernel may lack. */
  maybe(field: OptionalField): number | undefined {
    return this.profile.offsets[field];
  }

  /** Offsets of several fields, or undefined as soon as one is missing. */
  all<const F extends readonly OptionalField[]>(
    ...fields: F
  ): { readonly [K in keyof F]: number } | undefined {
    const offsets = fields.map((field) => this.profile.offsets[field]);
    return offsets.includes(undefined) ? undefined : offsets as { readonly [K in keyof F]: number };
  }

  /**
   * A pointer, when it can be read and points at an aligned place in the kernel half; else undefined (0 too).
   */
  pointer(base: number, offset: number): number | undefined {
    const value = this.space.readS64(base, offset);
    return isKernelPointer(value) ? value : undefined;
  }
}
