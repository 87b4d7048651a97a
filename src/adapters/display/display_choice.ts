/**
 * What an endpoint's config may say of its display.
 * @module
 */

/** The choices: one way to read the display, the best of them, or none at all. */
export const DISPLAY_CHOICES = ["auto", "vgpu", "vram", "dbus", "vnc", "screendump", "none"] as const;
/** A choice. */
export type DisplayChoice = (typeof DISPLAY_CHOICES)[number];
