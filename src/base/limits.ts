/**
 * Every maximum in one place; relations between them are asserted below. A number that the protocol fixes
 * says so.
 * @module
 */
import { assert } from "./assert.ts";

/** Endpoints a daemon can carry (src/event/PROTOCOL.md: the endpoint mask has 64 bits). */
export const MAX_ENDPOINTS = 64;
/** Bytes of an event's inline zone (src/event/PROTOCOL.md). */
export const INLINE_BYTES = 48;
/** Bytes of a wire frame before its body (src/event/PROTOCOL.md). */
export const FRAME_HEADER_BYTES = 96;
/** Bytes of a frame's body at most (src/event/PROTOCOL.md). */
export const MAX_BODY_BYTES = 65_536;
/** Bytes of a whole frame at most. */
export const MAX_FRAME_BYTES: number = FRAME_HEADER_BYTES + MAX_BODY_BYTES;
/** Heads of one VM's displays that are told apart. */
export const MAX_HEADS = 16;
/** Frames of a head that a control may ask for per second. */
export const MAX_FRAMES_PER_SECOND = 240;
/** Bytes of the words that come with a CMD_DISPLAY: why a source was chosen, or was lost. */
export const MAX_DISPLAY_WORDS = 256;
/** File descriptors in one frame (src/event/PROTOCOL.md). */
export const MAX_FRAME_FDS = 8;
/**
 * File descriptors that the kernel lets one packet carry (SCM_MAX_FD): what a peer may send, wanted or not.
 */
export const MAX_PACKET_FDS = 253;
/** Input records in one atomic frame (src/event/PROTOCOL.md). */
export const MAX_INPUT_RECORDS = 256;
/** Bytes of one input record (src/event/PROTOCOL.md). */
export const INPUT_RECORD_BYTES = 24;
/** Bytes of one MEMWRITE (src/event/PROTOCOL.md: VMSIG_MEMWRITE_MAX). */
export const MAX_MEMWRITE_BYTES = 4096;
/** Events waiting for one control, unless the config says otherwise (src/event/PROTOCOL.md). */
export const DEFAULT_QUEUE_EVENTS = 1024;
/** Bytes of bodies of the events that wait for one control. */
export const MAX_QUEUE_BYTES: number = 8 * 1024 * 1024;
/** Bytes of bodies of the events that wait for all controls of one uid. */
export const MAX_PRINCIPAL_EVENT_BYTES: number = 32 * 1024 * 1024;
/** Bytes of the commands of one uid that are not answered yet; past it its controls are not read. */
export const MAX_PRINCIPAL_COMMAND_BYTES: number = 16 * 1024 * 1024;
/**
 * Descriptors of the commands of one uid that wait in the bus, and that no adapter has taken; a command with
 * more is refused.
 */
export const MAX_PRINCIPAL_COMMAND_FDS = 64;
/** What a command counts for beside its body: one uid has half of the places for open commands at most. */
export const COMMAND_BYTES = 512;
/**
 * Events of one endpoint's flood, a kind, that wait for one control and are all told: past it the oldest that
 * is no longer so goes.
 */
export const MAX_UNFOLDED_EVENTS = 32;
/** Controls of a daemon, unless the config says otherwise (src/event/PROTOCOL.md). */
export const DEFAULT_MAX_CONTROLS = 1024;
/**
 * Controls beyond those that root and the daemon's own user may have in any case, and as many places of
 * pending peers.
 */
export const RESERVED_PLACES = 16;
/** Bytes of a HELLO's body: it says a name and a few numbers. */
export const MAX_HELLO_BYTES = 4096;
/** Lists and maps within one another in a HELLO: it needs two, and what it says besides is left alone. */
export const MAX_HELLO_DEPTH = 16;
/** Bytes of a control's name, in UTF-8. */
export const MAX_CONTROL_NAME_BYTES = 64;
/** How long a peer may take to say HELLO (src/event/PROTOCOL.md), ms. */
export const HELLO_TIMEOUT_MS = 5000;
/** Events that may wait in the context in one lane when the policy names no max_inflight. */
export const MAX_LANE_EVENTS = 65_536;
/** Commands in flight at once to one endpoint's adapters. */
export const MAX_OUTSTANDING = 65_536;
/** Frames taken from one socket in one turn of the loop, so that no peer starves another. */
export const RECEIVE_BATCH = 32;
/** Frames given to one socket in one turn of the loop. */
export const SEND_BATCH = 64;
/** In-band QMP commands in flight (QEMU suspends the monitor's input past 8). */
export const MAX_QMP_INFLIGHT = 8;
/** Descriptors that QEMU takes with one message of a chardev (TCP_MAX_FDS); it closes those past it. */
export const MAX_QMP_FDS = 16;
/** QMP commands of one monitor that wait for a place among those in flight. */
export const MAX_QMP_QUEUE = 65_536;
/** CMD_INPUT commands of one endpoint that wait for its driver. */
export const MAX_INPUT_QUEUE = 4096;
/**
 * Bytes of one QMP line while QEMU owes the answer to an HMP command (`info mtree -f` of a large machine); a
 * longer one is a protocol error.
 */
export const MAX_QMP_LINE_BYTES: number = 4 * 1024 * 1024;
/** Bytes of any other QMP line: events, and the answers to all other commands, which are short. */
export const MAX_QMP_SHORT_LINE_BYTES: number = 64 * 1024;
/** Objects and lists within each other in one QMP line. */
export const MAX_QMP_DEPTH = 64;
/** Values and strings in one QMP line: what bounds the time that reading it takes. */
export const MAX_QMP_PARTS = 16_384;
/** Characters of an endpoint's name (src/event/PROTOCOL.md: char[32], NUL-padded, in UTF-8). */
export const MAX_NAME_BYTES = 31;
/** Bytes that a v2v stream keeps of what arrives while its own send is stuck. */
export const MAX_STREAM_QUEUE_BYTES = 64 * 1024 * 1024;
/**
 * Peers that one user has on one ivshmem channel at a time: its two ends, and those that are just being
 * replaced.
 */
export const MAX_IVSHMEM_PEERS_OF_USER = 8;
/** Peers of one ivshmem channel at a time, without those of root and of the daemon's own user. */
export const MAX_IVSHMEM_PEERS = 32;

assert(
  MAX_PRINCIPAL_COMMAND_BYTES / COMMAND_BYTES <= MAX_OUTSTANDING / 2,
  "no uid takes all places for open commands",
);
assert(INPUT_RECORD_BYTES <= INLINE_BYTES, "an input record fits the inline zone");
assert((MAX_INPUT_RECORDS - 1) * INPUT_RECORD_BYTES <= MAX_BODY_BYTES, "a full input frame fits a body");
assert(MAX_MEMWRITE_BYTES <= MAX_BODY_BYTES, "a full memory write fits a body");
assert(
  RECEIVE_BATCH < DEFAULT_QUEUE_EVENTS / 2,
  "a batch of commands cannot fill a control's queue with answers",
);

/** Guest-physical addresses end here: a frame number is an int32 (8 TiB of 4 KiB pages). */
export const MAX_GUEST_GPA: number = 2 ** 43;
/** Bytes of the walker's linear view: its word indices stay below 2^31. */
export const MAX_LINEAR_VIEW_BYTES: number = 2 ** 33 - 4096;
/** Pages of a source that cannot be mapped, kept at once. */
export const MAX_PAGE_CACHE = 4096;
/** Physical runs that one range is split into at most. */
export const MAX_RUNS = 65_536;
/** Page-table entries that one enumeration of a (perhaps hostile) address space reads at most. */
export const MAX_SCAN_ENTRIES: number = 2 ** 26;
/** Processes, mappings or modules in one listing. */
export const MAX_LISTING = 262_144;

/** Events that wait in the client library for one consumer before it stops reading the socket. */
export const CLIENT_BUFFER_EVENTS = 1024;
/**
 * The same while a command awaits its answer, which cannot arrive unless reading goes on; past it the client
 * drops as the daemon would.
 */
export const CLIENT_BUFFER_MAX_EVENTS: number = 4 * CLIENT_BUFFER_EVENTS;
/** Frames that wait in the client library for the socket to take them. */
export const CLIENT_OUTGOING_FRAMES = 1024;

/** Slots of a vgpu ring at least (src/event/PROTOCOL.md). */
export const MIN_VGPU_SLOTS = 2;
/** Slots of a vgpu ring at most (src/event/PROTOCOL.md). */
export const MAX_VGPU_SLOTS = 8;
/** Bytes of one vgpu slot (src/event/PROTOCOL.md): no frame is larger. */
export const MAX_VGPU_SLOT_BYTES: number = 128 * 1024 * 1024;
/**
 * Bytes of a picture on their way from QEMU, as far as the system allows (net.core.wmem_max): with room for
 * all of it QEMU hands it over in one go, and not in pieces, each of which waits for the one before to be
 * read.
 */
export const PICTURE_SOCKET_BYTES: number = 4 * 1024 * 1024;
/** How often one call begins to copy a frame anew before it answers "busy". */
export const MAX_FRAME_ATTEMPTS = 8;
/** How often one call reads a small seqlock-guarded record anew before it answers "busy". */
export const MAX_RECORD_ATTEMPTS = 64;
/** Candidates that one look for vgpu regions keeps: a guest can write as many headers as it likes. */
export const MAX_VGPU_CANDIDATES = 64;
/** Candidates of one process: one that writes many headers does not hide another's region. */
export const MAX_VGPU_CANDIDATES_PER_PROCESS = 4;
/** Headers whose heartbeat stood still, remembered so that the next look passes them by. */
export const MAX_VGPU_DEAD = 1024;
/** VMCOREINFO notes that one scan keeps, of those that the page tables bear out. */
export const MAX_NOTES = 64;
/** Symbols of a kernel (Debian's 6.1 has 87,347 of its own; modules are not in the table). */
export const MAX_KALLSYMS = 2_000_000;
/** Bytes of the compressed names. */
export const MAX_KALLSYMS_BYTES: number = 32 * 1024 * 1024;
/** Bytes of a symbol's name (KSYM_NAME_LEN is 512). */
export const MAX_SYMBOL_BYTES = 512;
/** Bytes of a kernel's image that are searched for what its note does not tell (Debian's have 50 MiB). */
export const MAX_KERNEL_IMAGE_BYTES: number = 128 * 1024 * 1024;
/** Places of the image that look like the index of kallsyms' tokens, and are looked at further. */
export const MAX_KALLSYMS_INDEXES = 256;
/** Names that are walked in a run of the image to find out whether they are kallsyms'. */
export const MAX_KALLSYMS_STEPS = 8_000_000;
/** Bytes of a kernel's BTF. */
export const MAX_BTF_BYTES: number = 64 * 1024 * 1024;
/** Anonymous members within anonymous members. */
export const MAX_BTF_DEPTH = 16;
/** Members that one look for a field goes through (task_struct has about 300). */
export const MAX_BTF_MEMBERS = 20_000;
/** Members that a look at one type goes through, nameless ones followed; lines of its text. */
export const MAX_TYPE_MEMBERS = 4096;
/** Virtual processors of one VM that are told of. */
export const MAX_VCPUS = 4096;
/** Bytes of one packet of gdb's remote protocol, unescaped: what a write of 4 KiB in hexadecimal has. */
export const MAX_GDB_PACKET = 8448;
/** Values of guests' memory that one watch looks at. */
export const MAX_WATCHED_VALUES = 100_000;
/** Bytes of one of them. */
export const MAX_WATCHED_BYTES = 256;
/** How often they can be looked at, per second. */
export const MAX_WATCH_HZ = 1000;
/** Bytes of one value of the kernel's types that is read at once, and of each that is followed. */
export const MAX_VALUE_BYTES: number = 1024 * 1024;
/** Values that one look takes apart, members and elements included. */
export const MAX_VALUES = 10_000;
/** Elements of an array that are told. */
export const MAX_VALUE_ELEMENTS = 64;
/** Pointers that one look follows. */
export const MAX_FOLLOWED_POINTERS = 64;
/** Structures of one name. */
export const MAX_BTF_NAMESAKES = 64;
/** Records of a kernel's log. */
export const MAX_PRINTK_RECORDS: number = 2 ** 20;
/** Characters of a kernel's log in all. */
export const MAX_PRINTK_TEXT_BYTES: number = 64 * 1024 * 1024;
/** Entries of a process's table of descriptors (fs.nr_open's default). */
export const MAX_GUEST_DESCRIPTORS: number = 2 ** 20;
/** Mounts of a namespace (fs.mount-max is 100,000). */
export const MAX_GUEST_MOUNTS = 131_072;
/** Components of a path that is put together from dentries. */
export const MAX_PATH_DEPTH = 256;
/** Bytes of a command line that is read. */
export const MAX_COMMAND_LINE_BYTES = 131_072;
/** Bytes of a QEMU's command line on the host; a VM with hundreds of disks has half as many. */
export const MAX_QEMU_LINE_BYTES = 262_144;
/** Words of a QEMU's command line on the host. */
export const MAX_QEMU_ARGUMENTS = 4096;
/** Monitors of one QEMU that are looked at. */
export const MAX_QEMU_MONITORS = 16;
/**
 * VMs of one user that the probe attaches, unless they are root's or the daemon's own: nobody takes every
 * number.
 */
export const MAX_PROBED_A_USER = 48;
/** VMs that one look at the host tells of. */
export const MAX_PROBED_VMS: number = 4 * MAX_ENDPOINTS;
/** Levels of a maple tree: 2^64 addresses with at least 5 slots a node. */
export const MAX_MAPLE_DEPTH = 28;
/** Pieces of RAM in a flat view. */
export const MAX_FLAT_VIEW_PIECES = 4096;
/** RAM is mapped into one range at its guest-physical addresses up to here. */
export const MAX_LINEAR_BYTES: number = 128 * 2 ** 30;
/** Program headers of an ELF core (makedumpfile -E writes one for each run of pages), ranges of a dump. */
export const MAX_CORE_SEGMENTS = 1_048_576;
/** Records of a flattened dump, or packed pieces of one (16 KiB each of QEMU's: 128 GiB). */
export const MAX_DUMP_RECORDS = 8_388_608;
/** Bytes of a VMCOREINFO text that a dump's header tells. */
export const MAX_VMCOREINFO_BYTES = 65_536;
/** Pixels of a picture in a row or a column: what a caller may ask to hold or to look for. */
export const MAX_PICTURE_SIDE = 32_768;
/** Bytes of a Windows image (kernel, driver, DLL): what its headers may claim. */
export const MAX_PE_IMAGE_BYTES: number = 512 * 1024 * 1024;
/** Exports of one Windows image that are read (ntoskrnl has about 3,000). */
export const MAX_PE_EXPORTS = 65_536;
/** Places that a look for a Windows kernel without its entry point tries. */
export const MAX_KERNEL_PLACES: number = 2 ** 20;
/** Page tables that could be a Windows kernel's root, tried in one look. */
export const MAX_ROOT_CANDIDATES = 16;
/** Levels of a balanced tree of address ranges. */
export const MAX_VAD_DEPTH = 64;
/** Processes that are looked at to learn where a Windows build keeps its fields. */
export const MAX_SAMPLE_PROCESSES = 32;
/** Bytes of a pattern that `mem find` looks for. */
export const MAX_SEARCH_PATTERN_BYTES = 4096;
/** What is read of one /proc text of another process; a QEMU's longest, its maps, has some hundred KiB. */
export const MAX_PROC_TEXT_BYTES: number = 16 * 1024 * 1024;
/** Open files of another process that are listed. */
export const MAX_PROC_DESCRIPTORS = 65_536;
/** Files of one QEMU that are looked at as its RAM. */
export const MAX_RAM_CANDIDATES = 256;
/** Assignments of a QEMU's files to its memory backends that are tried when no monitor tells them apart. */
export const MAX_RAM_CHOICES = 24;
/** How many processes may keep the opening of their RAM waiting, before others are refused. */
export const MAX_RAM_OPENERS = 8;
