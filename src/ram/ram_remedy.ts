/**
 * The options with which to start a QEMU so that its RAM can be shared: options that are valid together with
 * this command line. QEMU refuses `memory-backend` together with a NUMA node's `memdev` or with `-mem-path`,
 * and a second object with the same id; `-machine` may be repeated.
 *
 * The only source of that advice, used by the host probe, the daemon and `pid:`.
 * @module
 */
import type { MemoryOptions } from "../qemu/memory_options.ts";

/** What the advice depends on. */
export type RemedyOptions =
  & Pick<
    MemoryOptions,
    "backends" | "ramIds" | "isNuma" | "ramBytes" | "hasMemPath"
  >
  & Partial<Pick<MemoryOptions, "manager">>;

/** An id that needs no quoting in a shell. */
const PLAIN_ID = /^[\w.-]{1,64}$/;
const MAX_CHANGES = 4;

/**
 * What to add or to change, in the form of the manager that has started the VM.
 *
 * @param options the memory configuration
 */
export function remedyOptions(options: RemedyOptions): string {
  const { backends, manager = "" } = options;
  switch (manager) {
    case "libvirt":
    case "libvirt-session":
    case "kubevirt": {
      // Huge pages are files already, and a domain has one <memoryBacking>.
      const isFile = backends.some(({ type }) => type === "memory-backend-file");
      const where = manager === "kubevirt"
        ? "in the domain, by a hook sidecar (onDefineDomain)"
        : "in the domain (virsh edit)";
      return isFile
        ? `<access mode='shared'/> in <memoryBacking> ${where}`
        : `<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking> ${where}`;
    }
    case "nova":
      return "file_backed_memory in [libvirt] of nova.conf: nova writes the domain anew at each start";
    case "proxmox":
      return options.isNuma
        ? `numa: 0 and no hugepages, and then args: ${qemuOptions({ ...options, ...PLAIN })}`
        : `args: ${qemuOptions(options)} (qm set VMID --args)`;
    case "incus":
      return `raw.qemu: ${qemuOptions(options)} (incus config set)`;
    case "kata":
      return 'file_mem_backend = "/dev/shm" (configuration.toml)';
    case "multipass":
      return "another manager: Multipass passes QEMU no options of yours";
    case "quickemu":
      return quickemuOptions(qemuOptions(options));
    case "lima":
      return limaOptions(qemuOptions(options));
    default:
      return qemuOptions(options);
  }
}

/** Options of QEMU's as quickemu takes them. */
export function quickemuOptions(options: string): string {
  return `quickemu --extra_args "${options}"`;
}

/** Options of QEMU's as Lima takes them: it starts what this variable says, with its own options behind. */
export function limaOptions(options: string): string {
  return `QEMU_SYSTEM_X86_64="qemu-system-x86_64 ${options}" in the environment of limactl start`;
}

/** The machine's RAM without anything behind it. */
const PLAIN = { isNuma: false, ramIds: [], backends: [] } as const;

function qemuOptions(options: RemedyOptions): string {
  const { backends, ramIds, isNuma, ramBytes, hasMemPath } = options;
  const changes = ramIds.flatMap((id) => {
    const backend = backends.find((each) => each.id === id);
    if (backend?.share === true) return [];
    if (backend === undefined || !PLAIN_ID.test(id)) return [];
    if (backend.type === "memory-backend-file") {
      return [`share=on in the -object memory-backend-file,id=${id}`];
    }
    const size = backend.sizeBytes ?? "SIZE";
    return [
      `-object memory-backend-memfd,id=${id},size=${size},share=on in place of its memory-backend-${
        kindOf(backend.type)
      }`,
    ];
  });
  if (changes.length > 0) return changes.slice(0, MAX_CHANGES).join(", and ");
  if (isNuma) return "-object memory-backend-memfd,id=ID,size=SIZE,share=on for each NUMA node's memdev";
  const taken = new Set(backends.map(({ id }) => id));
  let number = 0;
  while (taken.has(`ram${number}`)) number++;
  const mib = Math.round(ramBytes / 2 ** 20);
  const backend = `-object memory-backend-memfd,id=ram${number},size=${mib}M,share=on`;
  return `${backend} -machine memory-backend=ram${number}${hasMemPath ? " in place of -mem-path" : ""}`;
}

/**
 * The same as a sentence's part: "start QEMU with …", or "add …" where a manager starts it.
 *
 * @param options what the command line says
 */
export function remedyFor(options: RemedyOptions): string {
  const isQemus = (options.manager ?? "") === "";
  return isQemus ? `start QEMU with ${remedyOptions(options)}` : `add ${remedyOptions(options)}`;
}

/** The kind of a backend; a name that QEMU does not have is not repeated. */
function kindOf(type: string): string {
  const kind = type.slice("memory-backend-".length);
  return ["ram", "file", "memfd", "shm", "epc"].includes(kind) ? kind : "…";
}
