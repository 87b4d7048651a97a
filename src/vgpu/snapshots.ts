/**
 * What a reader gets: plain values, filled in place so that a poll makes no garbage. Every value was
 * consistent at one moment, and none points into a guest.
 * @module
 */

/** Descriptor of one frame, as its seqlock vouched for it, and where its bytes went. */
export class FrameInfo {
  /** Pixels in a row. */
  width = 0;
  /** Rows. */
  height = 0;
  /** Bytes from row to row. */
  stride = 0;
  /** Pixel format, one of REGION.md's. */
  format = 0;
  /** Of a ring's frame, as FRAME_INFO.flags says; 0 in a producer's region. */
  flags = 0;
  /** Grows with every frame of a run. */
  frameId = 0;
  /** The producer's time of the frame, ns, of a clock of its own. */
  timestampNs = 0;
  /**
   * What changed since the frame before, clipped to the frame; the whole frame when the producer did not say.
   */
  damageX = 0;
  /** Top edge of what changed. */
  damageY = 0;
  /** Its width. */
  damageW = 0;
  /** Its height. */
  damageH = 0;
  /** Bytes of the frame: height × stride (NV12: × 3/2). */
  bytes = 0;
  /** The slot it was in. */
  slot = 0;

  /** Takes over another's values. */
  assign(other: FrameInfo): void {
    Object.assign(this, other);
  }
}

/** The cursor. */
export class Cursor {
  /** The sequence number of this state: unchanged means that the producer reported nothing new. */
  seq = 0;
  /** Whether it is shown. */
  visible = false;
  /** Screen coordinates, negative on a screen to the left or above. */
  x = 0;
  /** See {@linkcode x}. */
  y = 0;
  /** The point within the glyph that points. */
  hotX = 0;
  /** See {@linkcode hotX}. */
  hotY = 0;
  /** Width of the glyph, pixels. */
  glyphW = 0;
  /** Height of the glyph, pixels. */
  glyphH = 0;
  /** One of CURSOR_ID. */
  id = 0;
}

/** The display's geometry. */
export class Geometry {
  /** The sequence number of this state: unchanged means that nothing new was reported. */
  seq = 0;
  /** Dots an inch. */
  dpi = 0;
  /** The virtual desktop. */
  virtX = 0;
  /** See {@linkcode virtX}. */
  virtY = 0;
  /** Its width. */
  virtW = 0;
  /** Its height. */
  virtH = 0;
  /** Where the captured screen is on it. */
  capX = 0;
  /** See {@linkcode capX}. */
  capY = 0;
  /** Refresh rate, mHz. */
  refreshMhz = 0;
}

/** The producer's state: single fields, each of them whole; together they are "fresh enough". */
export class ProducerState {
  /** Advances at least every 100 ms while the producer lives. */
  heartbeat = 0;
  /** Number of the producer's run: a new one is a session break. */
  runEpoch = 0;
  /** One of PRODUCER_STATUS. */
  status = 0;
  /** One of BACKEND. */
  backend = 0;
  /** The producer's own number of what went wrong. */
  errorCode = 0;
  /** Frames a second that it works with. */
  appliedFps = 0;
  /** Bit 1 << format. */
  supportedFormats = 0;
  /** The generation of the control block that it applied last. */
  ctrlAck = 0;
  /** The last request for a whole frame that it answered. */
  fullFrameAck = 0;
  /** The producer's time of the last change of content, ns. */
  contentChangeNs = 0;
}

/** The control block as it stands. */
export class ControlState {
  /** Sequence word of the block; even at rest. */
  ctrlGen = 0;
  /** One of COMMAND. */
  desiredState = 0;
  /** Frames a second that are asked for; 0 = as the producer likes. */
  targetFps = 0;
  /** 1 when the cursor is drawn into the frames. */
  drawCursor = 0;
  /** Counts requests for a whole frame. */
  fullFrameReq = 0;
}
