/**
 * What a VNC server tells beside the picture. A display source needs none of it; input over VNC will.
 * @module
 */

/** Told by a {@linkcode VncSource}; each is told again when it changes. */
export interface VncListener {
  /** The handshake is over. @param name what the server calls itself; from outside, at most 256 characters */
  onConnected(name: string): void;
  /** QEMU: its pointer is absolute or relative; relative until the guest polls its tablet. */
  onPointerMode(absolute: boolean): void;
  /** QEMU: extended key events may be sent. */
  onExtendedKeys(): void;
  /** QEMU: the lights of the keyboard, bits as LED of src/rfb/protocol.ts. */
  onLeds(bits: number): void;
}
