/**
 * What can be a pointer into the kernel.
 * @module
 */

/**
 * First address of the kernel half, as signed doubles hold it: any kernel pointer lies at or above it and
 * below 0.
 */
const KERNEL_HALF = -(2 ** 56);

/** Whether a value can be the address of a kernel object: in the kernel half, 8-aligned. NaN is not. */
export function isKernelPointer(value: number): boolean {
  return value < 0 && value >= KERNEL_HALF && value % 8 === 0;
}
