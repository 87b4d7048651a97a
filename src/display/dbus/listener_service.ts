/**
 * The object that QEMU calls with its pictures: org.qemu.Display1.Listener, served on a connection of its
 * own. Each call that needs an answer gets one in the same turn, because QEMU's main loop waits for some of
 * them.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";
import { MESSAGE, type MessageHead } from "../../dbus/message.ts";
import { type BodySink, DBusPeer, type PeerListener } from "./dbus_peer.ts";
import type { WireReader } from "../../dbus/wire_reader.ts";
import type { WireWriter } from "../../dbus/wire_writer.ts";
import type { CursorPicture, CursorShape } from "../canvas.ts";
import { CursorSink } from "./cursor_sink.ts";
import { type MapArea, MappedPicture } from "./mapped_picture.ts";
import { type PictureOwner, PictureSink } from "./picture_sink.ts";

const LISTENER = "org.qemu.Display1.Listener";
/** Pictures in shared memory; QEMU looks for this name in the listener's Interfaces (10 and later). */
const MAP = "org.qemu.Display1.Listener.Unix.Map";
const PROPERTIES = "org.freedesktop.DBus.Properties";
/** Bytes before the pixels of the longest body. */
const PREFIX_BYTES = 64;

/** Whom it tells. */
export interface ServiceOwner extends PictureOwner {
  /** QEMU has no picture at the moment. */
  disabled(): void;
  /** The position of the guest's cursor. */
  mouse(x: number, y: number, isOn: boolean): void;
  /** The shape of the cursor; undefined: unknown. `picture`: that of a small one. */
  cursor(shape: CursorShape | undefined, picture: CursorPicture | undefined): void;
  /** A change that cannot be drawn: the whole picture is needed again. */
  missed(): void;
}

/** The listener's end of a connection that QEMU was given. */
export class ListenerService implements PeerListener, Disposable {
  readonly #owner: ServiceOwner;
  readonly #peer: DBusPeer;
  /** The picture in shared memory, while it is shown. */
  #map: MappedPicture | undefined;

  /**
   * Begins to serve.
   *
   * @param socket our end; taken over
   * @param uid our own
   */
  constructor(owner: ServiceOwner, socket: OwnedFd, uid: number) {
    this.#owner = owner;
    this.#peer = new DBusPeer({
      socket,
      uid,
      listener: this,
      maxSinkBytes: MAX_VGPU_SLOT_BYTES + PREFIX_BYTES,
    });
  }

  /** The connection. */
  get peer(): DBusPeer {
    return this.#peer;
  }

  /** Closes the connection, which ends QEMU's work for it. */
  [Symbol.dispose](): void {
    this.#unmap();
    this.#peer[Symbol.dispose]();
  }

  onReady(): void {}

  sinkOf(head: MessageHead): BodySink | undefined {
    if (head.type !== MESSAGE.CALL || head.interface !== LISTENER) return undefined;
    switch (head.member) {
      case "Scanout":
        // QEMU does not report that a picture in shared memory is no longer shown.
        this.#unmap();
        return this.#answered(
          head,
          "uuuuay",
          new PictureSink(this.#owner, "scanout", head.isLittle, head.bodyBytes),
        );
      case "Update":
        return this.#answered(
          head,
          "iiiiuuay",
          new PictureSink(this.#owner, "update", head.isLittle, head.bodyBytes),
        );
      case "CursorDefine":
        return this.#answered(head, "iiiiay", this.#cursorSink(head));
      default:
        return undefined;
    }
  }

  onMessage(head: MessageHead, body: WireReader, fds: readonly OwnedFd[]): void {
    if (head.type !== MESSAGE.CALL) return;
    if (head.interface === LISTENER) this.#call(head, body);
    else if (head.interface === MAP) this.#callMap(head, body, fds);
    else if (head.interface === PROPERTIES && head.member === "GetAll") {
      checkTypes(head, "s");
      const isListener = body.text() === LISTENER;
      this.#reply(head, "a{sv}", (writer) => writer.array(8, () => isListener && writeInterfaces(writer)));
    } else this.#refuse(head, "UnknownMethod");
  }

  #call(head: MessageHead, body: WireReader): void {
    switch (head.member) {
      case "Disable":
        this.#unmap();
        this.#owner.disabled();
        return this.#reply(head);
      case "MouseSet": {
        checkTypes(head, "iii");
        this.#owner.mouse(body.i32(), body.i32(), body.i32() !== 0);
        return this.#reply(head);
      }
      case "ScanoutDMABUF":
      case "ScanoutDMABUF2":
        this.#refuse(head, "NotSupported");
        throw new Fault(
          "not-supported",
          "Cannot show QEMU's picture: it is in GPU memory (gl=on); start QEMU with -display dbus,gl=off",
        );
      default:
        this.#refuse(head, "UnknownMethod");
    }
  }

  #callMap(head: MessageHead, body: WireReader, fds: readonly OwnedFd[]): void {
    if (head.member === "ScanoutMap") {
      checkTypes(head, "huuuuu");
      const fd = fds[body.u32()];
      const [offset, width, height, stride, format] = [
        body.u32(),
        body.u32(),
        body.u32(),
        body.u32(),
        body.u32(),
      ];
      if (fd === undefined) {
        throw new Fault("protocol-error", "Cannot map a picture of QEMU's: it came without a file");
      }
      this.#unmap();
      this.#map = MappedPicture.open(fd.fd, { offset, width, height, stride, format });
      this.#paintMap("scanout", { x: 0, y: 0, width, height });
    } else if (head.member === "UpdateMap") {
      checkTypes(head, "iiii");
      this.#paintMap("update", { x: body.i32(), y: body.i32(), width: body.i32(), height: body.i32() });
    } else return this.#refuse(head, "UnknownMethod");
    this.#reply(head);
  }

  #paintMap(kind: "scanout" | "update", area: MapArea): void {
    const map = this.#map;
    const { x, y, width, height } = area;
    const isWithin = map !== undefined && x >= 0 && y >= 0 && width >= 0 && height >= 0 &&
      x + width <= map.head.width && y + height <= map.head.height;
    if (!isWithin) return this.#owner.missed();
    const { stride, format } = map.head;
    const picture = { kind, x, y, width, height, stride, format };
    const isPainted = this.#owner.begins(picture);
    if (isPainted) map.paint(this.#owner.canvas, area);
    this.#owner.ends(picture, isPainted);
  }

  #unmap(): void {
    this.#map?.[Symbol.dispose]();
    this.#map = undefined;
  }

  /** A sink after which the call is answered. */
  #answered(head: MessageHead, types: string, sink: BodySink): BodySink {
    checkTypes(head, types);
    return {
      take: (bytes, from, to) => sink.take(bytes, from, to),
      end: () => {
        this.#reply(head);
        sink.end();
      },
    };
  }

  #cursorSink({ bodyBytes, isLittle }: MessageHead): BodySink {
    const cursor = new CursorSink(bodyBytes, isLittle);
    return {
      take: (bytes, from, to) => cursor.take(bytes, from, to),
      end: () => this.#owner.cursor(cursor.shape, cursor.picture),
    };
  }

  #reply(head: MessageHead, signature?: string, body?: (writer: WireWriter) => void): void {
    if (!head.wantsReply || !this.#peer.isReady) return;
    const message = { type: MESSAGE.RETURN, replyTo: head.serial, wantsReply: false } as const;
    this.#peer.send(
      signature === undefined || body === undefined ? message : { ...message, signature, body },
    );
  }

  #refuse(head: MessageHead, name: string): void {
    if (!head.wantsReply || !this.#peer.isReady) return;
    const error = `org.freedesktop.DBus.Error.${name}`;
    this.#peer.send({ type: MESSAGE.ERROR, replyTo: head.serial, wantsReply: false, error });
  }
}

/** The listener's property Interfaces: additional interfaces that it supports. */
function writeInterfaces(writer: WireWriter): void {
  writer.align(8).text("Interfaces").signature("as").array(4, () => writer.text(MAP));
}

function checkTypes(head: MessageHead, types: string): void {
  if (head.signature === types) return;
  throw new Fault(
    "protocol-error",
    `Cannot follow QEMU's D-Bus display: a call's arguments are not ${types}`,
  );
}
