/**
 * The formats of memory images, one row each: how a format is recognised by its first bytes, and what opens
 * it, or what to do instead. A file that no row recognises is a raw image.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import type { RamPort } from "../../guest/ram_port.ts";
import { ElfCore, isElf } from "../elf_core.ts";
import type { ImageFile } from "../image_file.ts";
import { AvmlImage } from "./avml.ts";
import { FileBytes } from "./dump_bytes.ts";
import { FlattenedBytes } from "./flattened.ts";
import { KdumpRam } from "./kdump.ts";
import { LimeImage } from "./lime.ts";
import { isVmwareState, openVmem, openVmwareState } from "./vmware.ts";

/** A format. */
export type DumpFormat =
  & {
    /** Its title: "a QEMU save file". */
    readonly name: string;
    /** Whether a file has this format. */
    readonly is: (file: ImageFile) => boolean;
  }
  & (
    | {
      /** Opens it; owns the file, even if it throws. Undefined, without owning the file: a raw image. */
      readonly open: (file: ImageFile) => RamPort | undefined;
    }
    | {
      /** How to convert it to a format that can be read. */
      readonly instead: string;
    }
  );

/** Both ways to dump a running VM. */
export const DUMP: string =
  `dump-guest-memory with {"paging": false, "protocol": "file:OUTPUT"} in QMP, or virsh dump --memory-only DOMAIN OUTPUT`;
const UNPACK = "unpack it first, and name what comes out";

/** All formats; the first one that recognises a file is used. */
export const DUMP_FORMATS: readonly DumpFormat[] = [
  {
    name: "an ELF core",
    is: ({ head }) => isElf(head),
    open: ({ fd, path }) => new ElfCore(fd, path),
  },
  {
    name: "a kdump-compressed dump",
    is: startsWith("KDUMP   "),
    open: ({ fd, path }) => new KdumpRam(new FileBytes(fd, path), path),
  },
  {
    name: "a flattened kdump",
    is: startsWith("makedumpfile\0\0\0\0"),
    open: ({ fd, path }) => openFlattened(fd, path),
  },
  {
    name: "a LiME image",
    is: startsWith("EMiL"),
    open: ({ fd, path }) => new LimeImage(fd, path),
  },
  {
    name: "a compressed AVML image",
    is: startsWith("AVML"),
    open: ({ fd, path }) => new AvmlImage(new FileBytes(fd, path), path),
  },
  {
    name: "a VMware state file",
    is: ({ head }) => isVmwareState(head),
    open: openVmwareState,
  },
  {
    name: "VMware memory",
    is: ({ path }) => path.endsWith(".vmem"),
    open: openVmem,
  },
  {
    name: "a QEMU save file (a migration stream; virsh dump without --memory-only writes it, too)",
    is: startsWith("QEVM"),
    instead:
      `let the same QEMU load it (-S -incoming defer, then migrate-incoming with {"uri": "exec:cat FILE"} in QMP), and take ${DUMP}`,
  },
  {
    name: "a libvirt save file",
    is: startsWith("LibvirtQemudSave"),
    instead:
      "restore it without running it (virsh restore FILE --paused), then virsh dump --memory-only DOMAIN OUTPUT",
  },
  {
    name: "a libvirt save file that was never finished",
    is: startsWith("LibvirtQemudPart"),
    instead: `its VM was not saved; of one that is there take ${DUMP}`,
  },
  {
    name: "a Windows crash dump",
    is: startsWith("PAGEDU64", "PAGEDUMP"),
    instead: `of the VM take ${DUMP}, without "format": "win-dmp"`,
  },
  {
    name: "a qcow2 disk image",
    is: startsWith("QFI\xfb"),
    instead:
      `snapshot-load in QMP (virsh snapshot-revert --paused) brings a snapshot's memory back into a VM; of that take ${DUMP}`,
  },
  {
    name: "a VirtualBox saved state",
    is: startsWith("\x7fVirtualBox SavedState"),
    instead:
      "start the VM paused (VBoxManage startvm), then VBoxManage debugvm NAME dumpvmcore --filename OUTPUT",
  },
  { name: "a file packed by gzip", is: startsWith("\x1f\x8b"), instead: UNPACK },
  { name: "a file packed by xz", is: startsWith("\xfd7zXZ\0"), instead: UNPACK },
  { name: "a file packed by zstd", is: startsWith("\x28\xb5\x2f\xfd"), instead: UNPACK },
  { name: "a file packed by bzip2", is: startsWith("BZh"), instead: UNPACK },
  { name: "a file packed by lzop", is: startsWith("\x89LZO\0\r\n\x1a\n"), instead: UNPACK },
];

/**
 * Opens a file according to its first bytes.
 *
 * @param file the file; its descriptor is owned by the result, and closed if this throws
 * @returns undefined, with the file left open, if it may be a raw image
 * @throws {Fault} `not-supported`, with an alternative, for a known format that cannot be read; otherwise
 *   what its reader throws
 */
export function openDump(file: ImageFile): RamPort | undefined {
  const format = DUMP_FORMATS.find(({ is }) => is(file));
  if (format === undefined) return undefined;
  if ("open" in format) return format.open(file);
  file.fd.close();
  throw new Fault("not-supported", `Cannot open ${file.path}: it is ${format.name}; ${format.instead}`);
}

function openFlattened(fd: ImageFile["fd"], path: string): RamPort {
  return new KdumpRam(new FlattenedBytes(fd, path), path);
}

/** Whether a file begins with one of these texts; each character is a byte. */
function startsWith(...texts: readonly string[]): DumpFormat["is"] {
  return ({ head }) =>
    texts.some((text) => [...text].every((character, i) => head[i] === character.charCodeAt(0)));
}
