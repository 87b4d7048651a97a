/**
 * The numbers of the RFB protocol (RFC 6143, and the extensions that the community keeps a register of):
 * types of messages, encodings and pseudo-encodings. Those that vmsig speaks, and no others.
 * @module
 */

/** Messages from server to client, by their first byte. */
export const SERVER_MESSAGE = {
  UPDATE: 0,
  COLOUR_MAP: 1,
  BELL: 2,
  CUT_TEXT: 3,
  /** Continuous updates are over; the first one says that they are known. */
  END_OF_CONTINUOUS: 150,
  FENCE: 248,
} as const;

/** Messages from client to server, by their first byte. */
export const CLIENT_MESSAGE = {
  SET_PIXEL_FORMAT: 0,
  SET_ENCODINGS: 2,
  UPDATE_REQUEST: 3,
  KEY: 4,
  POINTER: 5,
  CUT_TEXT: 6,
  CONTINUOUS: 150,
  FENCE: 248,
  SET_DESKTOP_SIZE: 251,
  QEMU: 255,
} as const;

/** Second byte of {@linkcode CLIENT_MESSAGE}.QEMU: a key with the number that its scan code has. */
export const QEMU_EXTENDED_KEY = 0;

/**
 * Encodings of a rectangle. Negative ones are not pixels: they tell something, or say what a client knows.
 */
export const ENCODING = {
  /** Pixels, row by row. */
  RAW: 0,
  /** A copy of another part of the picture. */
  COPY_RECT: 1,
  /** Palettes and pixels, each rectangle in one of four zlib streams. */
  TIGHT: 7,
  /** Tiles of 64x64 with palettes and runs, in one zlib stream. */
  ZRLE: 16,
  /** How hard to compress Tight: -256 little, -247 most. */
  COMPRESS_0: -256,
  COMPRESS_9: -247,
  /** The picture has another size. */
  DESKTOP_SIZE: -223,
  /** This update ends here, whatever number of rectangles it began with. */
  LAST_RECT: -224,
  /** Where the server has put the cursor. */
  POINTER_POSITION: -232,
  /** The cursor's shape. */
  CURSOR: -239,
  /** QEMU: whether the pointer is absolute (x = 1) or relative (x = 0). */
  QEMU_POINTER_MODE: -257,
  /** QEMU: keys may be sent with their scan codes. */
  QEMU_EXTENDED_KEY: -258,
  /** QEMU: which lights of the keyboard are on. */
  QEMU_LEDS: -261,
  /** The picture has another size, with a list of screens; the answer to a client's wish for one. */
  EXTENDED_DESKTOP_SIZE: -308,
  /** The name has changed. */
  DESKTOP_NAME: -307,
  /** Fences are known. */
  FENCE: -312,
  /** Continuous updates are known. */
  CONTINUOUS: -313,
} as const;

/** Security types. */
export const SECURITY = { INVALID: 0, NONE: 1, VNC: 2 } as const;

/** Bytes of the version line, both ways. */
export const VERSION_BYTES = 12;
/** Bytes of the challenge of {@linkcode SECURITY}.VNC, and of its answer. */
export const CHALLENGE_BYTES = 16;
/** Bytes of a pixel format. */
export const PIXEL_FORMAT_BYTES = 16;
/** Bytes of a server's name that are kept, and of any reason it gives. */
export const KEPT_TEXT_BYTES = 256;
/** Pixels of a cursor's side at most; QEMU's have 512. */
export const MAX_CURSOR_SIDE = 1024;
/** Pixels of a cursor that are kept; of a larger one the shape alone. */
export const MAX_CURSOR_PIXELS = 16_384;

/** Bytes of what messages and rectangles begin with, and of the items that follow. */
export const HEAD = {
  UPDATE: 4,
  RECTANGLE: 12,
  /** Where a copied rectangle comes from. */
  COPY: 4,
  /** How many screens follow. */
  SCREENS: 4,
  SCREEN: 16,
  COLOUR_MAP: 6,
  COLOUR: 6,
  CUT_TEXT: 8,
} as const;
