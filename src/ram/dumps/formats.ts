/**
 * What a file of memory may be, a row for each format: how its first bytes tell it, and what opens it, or
 * what to do instead. What no row knows is taken for a raw image.
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
    /** What it is called: "a QEMU save file". */
    readonly name: string;
    /** Whether a file is of it. */
    readonly is: (file: ImageFile) => boolean;
  }
  & (
    | {
      /** Opens it; takes the file, also when it throws. Undefined, and the file is left: a raw image. */
      readonly open: (file: ImageFile) => RamPort | undefined;
    }
    | {
      /** What to do to have its memory in a form that is read. */
      readonly instead: string;
    }
  );

/** Both ways to a dump of a VM that is there. */
export const DUMP: string =
  `dump-guest-memory with {"paging": false, "protocol": "file:OUTPUT"} in QMP, or virsh dump --memory-only DOMAIN OUTPUT`;
const UNPACK = "unpack it first, and name what comes out";

/** All formats, the first that knows a file counts. */
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
 * Opens a file by what its first bytes say.
 *
 * @param file the file; its descriptor is owned by what is returned, and closed when this throws
 * @returns undefined, and the file stays open, when it may be a raw image
 * @throws {Fault} `not-supported`, with the remedy, for a format that is known and not read; else what its
 *   reader throws
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
