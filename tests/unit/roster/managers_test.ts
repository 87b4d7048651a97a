/**
 * Command lines as managers of VMs write them, by their public shapes: what the probe says of each, in the
 * manager's own form.
 * @module
 */
import { assertEquals } from "@std/assert";
import { describeVm, type ProbedVm } from "../../../src/roster/host_probe.ts";
import { readQemuCommandLine } from "../../../src/roster/qemu_command_line.ts";

type Said = Pick<ProbedVm, "name" | "manager" | "qmp" | "memory" | "display" | "agent"> & {
  readonly held: string;
  readonly viewers: string;
  readonly consoles: string;
  readonly missing: readonly string[];
};

const LIBVIRT_MEMFD = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
const BY_LIBVIRT =
  "a table [libvirt] in vmsigd.toml: vmsig speaks to it by libvirt, and the VM stays as it is";
const MONITOR = (name: string) => `-qmp unix:/run/vmsig/${name}.qmp,server=on,wait=off`;
const CHARMONITOR =
  "-chardev socket,id=charmonitor,fd=26,server=on,wait=off -mon chardev=charmonitor,id=monitor,mode=control";

const ROWS: readonly (readonly [who: string, line: string, said: Said])[] = [
  [
    "virt-install",
    `-name guest=web,debug-threads=on -S -object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/k"} -machine pc-q35-7.2,usb=off,memory-backend=pc.ram -m 2048 -object {"qom-type":"memory-backend-ram","id":"pc.ram","size":2147483648} -no-user-config -nodefaults ${CHARMONITOR} -chardev pty,id=charserial0 -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} -chardev socket,id=charchannel0,fd=24,server=on,wait=off -device {"driver":"virtserialport","bus":"virtio-serial0.0","chardev":"charchannel0","id":"channel0","name":"org.qemu.guest_agent.0"} -device {"driver":"usb-tablet","id":"input0"} -vnc 127.0.0.1:0,audiodev=audio1 -device {"driver":"virtio-vga","id":"video0","max_outputs":1}`,
    {
      name: "web",
      manager: "libvirt",
      qmp: "",
      held: "libvirt",
      memory: "ram (private)",
      display: "virtio-vga/default",
      viewers: "vnc 127.0.0.1:0",
      consoles: "serial pty",
      agent: "a socket by descriptor",
      missing: [BY_LIBVIRT, `${LIBVIRT_MEMFD} in the domain (virsh edit)`],
    },
  ],
  [
    "virt-install with huge pages",
    `-name guest=db,debug-threads=on -machine pc-i440fx-7.2,memory-backend=pc.ram -m 1024 -object {"qom-type":"memory-backend-file","id":"pc.ram","mem-path":"/dev/hugepages/libvirt/qemu/3-db","prealloc":true,"size":1073741824} -nodefaults ${CHARMONITOR} -display none`,
    {
      name: "db",
      manager: "libvirt",
      qmp: "",
      held: "libvirt",
      memory: "file (private)",
      display: "none/none",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [
        BY_LIBVIRT,
        "<access mode='shared'/> in <memoryBacking> in the domain (virsh edit)",
        "<input type='tablet' bus='virtio'/>",
      ],
    },
  ],
  [
    "GNOME Boxes",
    `-name guest=fedora,debug-threads=on -S -object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/home/ann/.config/libvirt/qemu/lib/domain-1-fedora/master-key.aes"} -machine pc-q35-8.2,usb=off,memory-backend=pc.ram -m size=4194304k -object {"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"x-use-canonical-path-for-ramblock-id":false,"size":4294967296} -nodefaults ${CHARMONITOR} -chardev spicevmc,id=charchannel0,name=vdagent -device {"driver":"virtserialport","chardev":"charchannel0","id":"channel0","name":"com.redhat.spice.0"} -device {"driver":"usb-tablet","id":"input0"} -spice port=0,disable-ticketing=on,image-compression=off -device {"driver":"qxl-vga","id":"video0","max_outputs":1}`,
    {
      name: "fedora",
      manager: "libvirt-session",
      qmp: "",
      held: "its user's libvirt",
      memory: "memfd",
      display: "qxl-vga/default",
      viewers: "spice",
      consoles: "",
      agent: "",
      missing: [
        '[libvirt] uri = "qemu:///session", socket = "/run/user/1000/libvirt/libvirt-sock" and users = ["1000"] in vmsigd.toml (virtqemud-sock, where there is no libvirtd): the VM stays as it is',
      ],
    },
  ],
  [
    "KubeVirt",
    `-name guest=default_vm1,debug-threads=on -machine pc-q35-rhel9.4.0,memory-backend=pc.ram -m size=1048576k -object {"qom-type":"memory-backend-ram","id":"pc.ram","size":1073741824} -smbios type=1,manufacturer=KubeVirt,product=None,uuid=b56f06f0-0000-4000-8000-000000000001,family=KubeVirt -no-user-config -nodefaults ${CHARMONITOR} -chardev socket,id=charserial0,path=/var/run/kubevirt-private/5b/virt-serial0,server=on,wait=off -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} -chardev socket,id=charchannel0,fd=20,server=on,wait=off -device {"driver":"virtserialport","chardev":"charchannel0","id":"channel0","name":"org.qemu.guest_agent.0"} -vnc vnc=unix:/var/run/kubevirt-private/5b/virt-vnc,audiodev=audio1 -device {"driver":"VGA","id":"video0","vgamem_mb":16}`,
    {
      name: "default_vm1",
      manager: "kubevirt",
      qmp: "",
      held: "KubeVirt's libvirt",
      memory: "ram (private)",
      display: "VGA/default",
      viewers: "vnc unix:/var/run/kubevirt-private/5b/virt-vnc",
      consoles: "serial unix:/var/run/kubevirt-private/5b/virt-serial0",
      agent: "a socket by descriptor",
      missing: [
        `[libvirt] uri = "qemu:///session", socket = "/proc/7/root/run/libvirt/virtqemud-sock" and users = ["1000"] in vmsigd.toml: the pod's own libvirt`,
        `${LIBVIRT_MEMFD} in the domain, by a hook sidecar (onDefineDomain)`,
        "<input type='tablet' bus='virtio'/>",
      ],
    },
  ],
  [
    "Proxmox",
    "-id 100 -name web,debug-threads=on -no-shutdown -chardev socket,id=qmp,path=/var/run/qemu-server/100.qmp,server=on,wait=off -mon chardev=qmp,mode=control -chardev socket,id=qmp-event,path=/var/run/qmeventd.sock,reconnect-ms=5000 -mon chardev=qmp-event,mode=control -pidfile /var/run/qemu-server/100.pid -daemonize -smp 2,sockets=1,cores=2,maxcpus=2 -nodefaults -vnc unix:/var/run/qemu-server/100.vnc,password=on -m 2048 -device VGA,id=vga,bus=pcie.0,addr=0x1 -chardev socket,path=/var/run/qemu-server/100.serial0,server=on,wait=off,id=serial0 -device isa-serial,chardev=serial0 -chardev socket,path=/var/run/qemu-server/100.qga,server=on,wait=off,id=qga0 -device virtio-serial,id=qga0,bus=pci.0,addr=0x8 -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 -machine type=q35+pve0",
    {
      name: "web",
      manager: "proxmox",
      qmp: "",
      held: "Proxmox",
      memory: "private",
      display: "VGA/default",
      viewers: "vnc unix:/var/run/qemu-server/100.vnc",
      consoles: "serial unix:/var/run/qemu-server/100.serial0",
      agent: "unix:/var/run/qemu-server/100.qga",
      missing: [
        `args: ${MONITOR("web")} (qm set VMID --args): its own monitor is left to Proxmox`,
        "args: -object memory-backend-memfd,id=ram0,size=2048M,share=on -machine memory-backend=ram0 (qm set VMID --args)",
        "tablet: 1 (qm set VMID --tablet 1)",
      ],
    },
  ],
  [
    "Incus",
    "-S -name web -uuid 7b7b0000-0000-4000-8000-000000000001 -daemonize -cpu host,hv_passthrough -nographic -serial chardev:console -nodefaults -no-user-config -sandbox on,obsolete=deny -readconfig /run/incus/web/qemu.conf -spice unix=on,disable-ticketing=on,addr=/run/incus/web/qemu.spice -pidfile /run/incus/web/qemu.pid -D /var/log/incus/web/qemu.log",
    {
      name: "web",
      manager: "incus",
      qmp: "",
      held: "",
      memory: "as its config file says",
      display: "none/none",
      viewers: "spice unix:/run/incus/web/qemu.spice",
      consoles: "serial ?",
      agent: "",
      missing: [
        `raw.qemu: ${MONITOR("web")} (incus config set): its own monitor is left to Incus`,
        "raw.qemu: -device virtio-tablet-pci",
      ],
    },
  ],
  [
    "quickemu",
    "-name ubuntu-24.04,process=ubuntu-24.04 -machine q35,smm=off,vmport=off,accel=kvm -cpu host -m 4G -device virtio-balloon -device virtio-vga-gl,xres=1280,yres=800 -display sdl,gl=on -device usb-ehci,id=input -device usb-kbd,bus=input.0 -k en-us -device usb-tablet,bus=input.0 -monitor unix:ubuntu/ubuntu-monitor.socket,server,nowait -serial unix:ubuntu/ubuntu-serial.socket,server,nowait -chardev socket,path=ubuntu/ubuntu-agent.sock,server=on,wait=off,id=qga0 -device virtio-serial -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0",
    {
      name: "ubuntu-24.04",
      manager: "quickemu",
      qmp: "",
      held: "",
      memory: "private",
      display: "virtio-vga-gl/sdl",
      viewers: "",
      consoles: "serial unix:ubuntu/ubuntu-serial.socket",
      agent: "unix:ubuntu/ubuntu-agent.sock",
      missing: [
        `quickemu --extra_args "${MONITOR("ubuntu-24.04")}"`,
        'quickemu --extra_args "-object memory-backend-memfd,id=ram0,size=4096M,share=on -machine memory-backend=ram0"',
      ],
    },
  ],
  [
    "Kata Containers",
    "-name sandbox-8f,debug-threads=on -uuid 7b7b0000-0000-4000-8000-000000000002 -machine q35,accel=kvm,nvdimm=on -cpu host,pmu=off -qmp unix:fd=3,server=on,wait=off -m 2048M,slots=10,maxmem=32099M -device virtio-serial-pci,id=serial0 -device virtconsole,chardev=charconsole0,id=console0 -chardev socket,id=charconsole0,path=/run/vc/vm/8f/console.sock,server=on,wait=off -vga none -no-user-config -nodefaults -nographic --no-reboot -object memory-backend-file,id=dimm1,size=2048M,mem-path=/dev/shm,share=on -numa node,memdev=dimm1 -pidfile /run/vc/vm/8f/pid",
    {
      name: "sandbox-8f",
      manager: "kata",
      qmp: "",
      held: "Kata Containers",
      memory: "file",
      display: "none/none",
      viewers: "",
      consoles: "virtconsole unix:/run/vc/vm/8f/console.sock",
      agent: "",
      missing: [
        'enable_debug and extra_monitor_socket = "qmp" (configuration.toml): the first is left to Kata',
      ],
    },
  ],
  [
    "Kata Containers of before 2023",
    "-name sandbox-8f -machine q35,accel=kvm -qmp unix:/run/vc/vm/8f/qmp.sock,server=on,wait=off -m 2048M,slots=10,maxmem=32099M -vga none -no-user-config -nodefaults -nographic --no-reboot -object memory-backend-file,id=dimm1,size=2048M,mem-path=/dev/shm,share=on -numa node,memdev=dimm1 -pidfile /run/vc/vm/8f/pid",
    {
      name: "sandbox-8f",
      manager: "kata",
      qmp: "",
      held: "Kata Containers",
      memory: "file",
      display: "none/none",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [
        'enable_debug and extra_monitor_socket = "qmp" (configuration.toml): the first is left to Kata',
      ],
    },
  ],
  [
    "Kata Containers with a second monitor",
    "-name sandbox-8f,debug-threads=on -machine q35,accel=kvm -qmp unix:fd=3,server=on,wait=off -qmp unix:path=/run/vc/vm/8f/extra-monitor.sock,server=on,wait=off -m 2048M,slots=10,maxmem=32099M -vga none -no-user-config -nodefaults -nographic --no-reboot -object memory-backend-ram,id=dimm1,size=2048M -numa node,memdev=dimm1 -pidfile /run/vc/vm/8f/pid",
    {
      name: "sandbox-8f",
      manager: "kata",
      qmp: "/run/vc/vm/8f/extra-monitor.sock",
      held: "Kata Containers",
      memory: "ram (private)",
      display: "none/none",
      viewers: "",
      consoles: "",
      agent: "",
      missing: ['file_mem_backend = "/dev/shm" (configuration.toml)'],
    },
  ],
  [
    "OpenStack",
    `-name guest=instance-00000002,debug-threads=on -S -object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-1-instance-00000002/master-key.aes"} -machine pc-i440fx-8.2,usb=off,memory-backend=pc.ram -accel kvm -m size=2097152k -object {"qom-type":"memory-backend-ram","id":"pc.ram","size":2147483648} -smbios type=1,manufacturer=OpenStack~Foundation,product=OpenStack~Nova,version=29.0.1,serial=09461f0b-0000-4000-8000-000000000001,family=Virtual~Machine -no-user-config -nodefaults ${CHARMONITOR} -add-fd set=0,fd=30,opaque=serial0-log -chardev pty,id=charserial0,logfile=/dev/fdset/0,logappend=on -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} -vnc 0.0.0.0:0,audiodev=audio1 -device {"driver":"virtio-vga","id":"video0","max_outputs":1}`,
    {
      name: "instance-00000002",
      manager: "nova",
      qmp: "",
      held: "OpenStack's libvirt",
      memory: "ram (private)",
      display: "virtio-vga/default",
      viewers: "vnc 0.0.0.0:0",
      consoles: "serial pty",
      agent: "",
      missing: [
        BY_LIBVIRT,
        "file_backed_memory in [libvirt] of nova.conf: nova writes the domain anew at each start",
        "hw_pointer_model=usbtablet of the image (openstack image set --property)",
      ],
    },
  ],
  [
    "OpenStack with huge pages in two NUMA cells",
    `-name guest=instance-0000000a,debug-threads=on -machine pc-q35-8.2,usb=off -m size=4194304k -smbios type=1,manufacturer=OpenStack~Foundation,product=OpenStack~Compute -object {"qom-type":"memory-backend-file","id":"ram-node0","mem-path":"/dev/hugepages/libvirt/qemu/4-instance-0000000a","share":true,"prealloc":true,"size":2147483648} -numa node,nodeid=0,cpus=0-1,memdev=ram-node0 -object {"qom-type":"memory-backend-file","id":"ram-node1","mem-path":"/dev/hugepages/libvirt/qemu/4-instance-0000000a","share":true,"prealloc":true,"size":2147483648} -numa node,nodeid=1,cpus=2-3,memdev=ram-node1 -nodefaults ${CHARMONITOR} -device {"driver":"usb-tablet","id":"input0"} -vnc 0.0.0.0:1`,
    {
      name: "instance-0000000a",
      manager: "nova",
      qmp: "",
      held: "OpenStack's libvirt",
      memory: "file",
      display: "none/default",
      viewers: "vnc 0.0.0.0:1",
      consoles: "",
      agent: "",
      missing: [BY_LIBVIRT],
    },
  ],
  [
    "Vagrant with libvirt",
    `-name guest=lab_default,debug-threads=on -object {"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-2-lab_default/master-key.aes"} -machine pc-i440fx-7.2,usb=off,memory-backend=pc.ram -m 512 -object {"qom-type":"memory-backend-ram","id":"pc.ram","size":536870912} -nodefaults ${CHARMONITOR} -chardev pty,id=charserial0 -device {"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0} -vnc 127.0.0.1:0 -device {"driver":"cirrus-vga","id":"video0"}`,
    {
      name: "lab_default",
      manager: "libvirt",
      qmp: "",
      held: "libvirt",
      memory: "ram (private)",
      display: "cirrus-vga/default",
      viewers: "vnc 127.0.0.1:0",
      consoles: "serial pty",
      agent: "",
      missing: [
        BY_LIBVIRT,
        `${LIBVIRT_MEMFD} in the domain (virsh edit)`,
        "<input type='tablet' bus='virtio'/>",
      ],
    },
  ],
  [
    "Lima",
    "-m 4096 -cpu host -machine q35,accel=kvm -smp 4,sockets=1,cores=4,threads=1 -boot order=d,splash-time=0,menu=on -device virtio-rng-pci -display none -device virtio-vga -device virtio-keyboard-pci -device virtio-mouse-pci -device qemu-xhci,id=usb-bus -parallel none -chardev socket,id=char-serial,path=/home/ann/.lima/default/serial.sock,server=on,wait=off,logfile=/home/ann/.lima/default/serial.log -serial chardev:char-serial -chardev socket,id=char-serial-virtio,path=/home/ann/.lima/default/serialv.sock,server=on,wait=off,logfile=/home/ann/.lima/default/serialv.log -device virtio-serial-pci,id=virtio-serial0,max_ports=1 -device virtconsole,chardev=char-serial-virtio,id=console0 -chardev socket,id=char-qmp,path=/home/ann/.lima/default/qmp.sock,server=on,wait=off -qmp chardev:char-qmp -name lima-default -pidfile /home/ann/.lima/default/qemu.pid",
    {
      name: "lima-default",
      manager: "lima",
      qmp: "",
      held: "Lima",
      memory: "private",
      display: "virtio-vga/none",
      viewers: "",
      consoles:
        "serial unix:/home/ann/.lima/default/serial.sock,virtconsole unix:/home/ann/.lima/default/serialv.sock",
      agent: "",
      missing: [
        `QEMU_SYSTEM_X86_64="qemu-system-x86_64 ${
          MONITOR("lima-default")
        }" in the environment of limactl start: its own monitor is left to Lima`,
        'QEMU_SYSTEM_X86_64="qemu-system-x86_64 -object memory-backend-memfd,id=ram0,size=4096M,share=on -machine memory-backend=ram0" in the environment of limactl start',
        'QEMU_SYSTEM_X86_64="qemu-system-x86_64 -device virtio-tablet-pci" in the environment of limactl start',
      ],
    },
  ],
  [
    "Multipass",
    "-bios OVMF.fd --enable-kvm -cpu host -nic tap,ifname=tap-6b1,script=no,downscript=no,model=virtio-net-pci,mac=52:54:00:00:00:01 -device virtio-scsi-pci,id=scsi0 -drive file=/var/snap/multipass/common/data/multipassd/vault/instances/primary/ubuntu-24.04-server-cloudimg-amd64.img,if=none,format=qcow2,discard=unmap,id=hda -device scsi-hd,drive=hda,bus=scsi0.0 -smp 1 -m 1024M -qmp stdio -chardev null,id=char0 -serial chardev:char0 -nographic -cdrom /var/snap/multipass/common/data/multipassd/vault/instances/primary/cloud-init-config.iso",
    {
      name: "qemu-7",
      manager: "multipass",
      qmp: "",
      held: "Multipass",
      memory: "private",
      display: "std/none",
      viewers: "",
      consoles: "serial null",
      agent: "",
      missing: [
        "another manager: Multipass has the only monitor and passes QEMU no options of yours; vmsig mem pid:N reads its memory",
      ],
    },
  ],
  [
    "somebody with a monitor over TCP",
    "-name lab -machine q35 -m 256 -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m -qmp tcp:0.0.0.0:4444,server=on,wait=off -usb -device usb-tablet",
    {
      name: "lab",
      manager: "",
      qmp: "",
      held: "",
      memory: "memfd",
      display: "std/default",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [
        'an [[endpoint]] with qmp = "tcp:127.0.0.1:4444" in vmsigd.toml: a monitor over TCP is used where it is named',
      ],
    },
  ],
  [
    "somebody with a monitor that connects again and again",
    "-chardev socket,id=m,path=/run/x/web.qmp,server=off,reconnect=1 -mon chardev=m,mode=control -name lab -machine q35 -m 256 -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m -usb -device usb-tablet",
    {
      name: "lab",
      manager: "",
      qmp: "",
      held: "",
      memory: "memfd",
      display: "std/default",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [
        'an [[endpoint]] with qmp = "listen:/run/x/web.qmp" in vmsigd.toml: this QEMU connects there, and vmsig listens unless another program does',
      ],
    },
  ],
  [
    "somebody with a monitor that connects once",
    "-qmp unix:/run/x/web.qmp -name lab -machine q35 -m 256 -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m -usb -device usb-tablet",
    {
      name: "lab",
      manager: "",
      qmp: "",
      held: "",
      memory: "memfd",
      display: "std/default",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [
        'an [[endpoint]] with qmp = "listen:/run/x/web.qmp" in vmsigd.toml: this QEMU connects there, and vmsig listens unless another program does; reconnect=1 (reconnect-ms=1000 from QEMU 9.2 on) in its -chardev has it connect again',
      ],
    },
  ],
  [
    "somebody with a monitor that connects to a path that is not to be typed",
    "-qmp unix:/run/x/we\u001bb.qmp -name lab -machine q35 -m 256 -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m -usb -device usb-tablet",
    {
      name: "lab",
      manager: "",
      qmp: "",
      held: "",
      memory: "memfd",
      display: "std/default",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [
        MONITOR("lab"),
      ],
    },
  ],
  [
    "virt-install with a monitor of ours",
    `-name guest=fast,debug-threads=on -machine pc-q35-7.2,memory-backend=pc.ram -m 512 -object {"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"size":536870912} -nodefaults ${CHARMONITOR} -device {"driver":"virtio-tablet-pci","id":"input0"} -qmp unix:/run/vmsig/fast.qmp,server=on,wait=off`,
    {
      name: "fast",
      manager: "libvirt",
      qmp: "/run/vmsig/fast.qmp",
      held: "libvirt",
      memory: "memfd",
      display: "none/default",
      viewers: "",
      consoles: "",
      agent: "",
      missing: [],
    },
  ],
];

async function described(line: string): Promise<ProbedVm> {
  const process = {
    pid: 7,
    started: "1",
    uid: 1000,
    cwd: "/",
    isConfirmed: true,
    isBlank: false,
    // A tilde stands for a blank within a word.
    setup: readQemuCommandLine(line.split(" ").map((word) => word.replaceAll("~", " "))),
    ownSockets: new Set<string>(),
  };
  const view = {
    ownUid: 0,
    sockets: () => Promise.resolve(new Set<string>()),
    placeDefect: () => Promise.resolve(""),
  };
  return await describeVm(view, process, new Map());
}

for (const [who, line, said] of ROWS) {
  Deno.test(`probe: a VM as ${who} starts it`, async () => {
    const vm = await described(line);
    const { name, manager, qmp, memory, display, agent, missing } = vm;
    const held = vm.monitors.find(({ holder }) => holder !== undefined)?.holder ?? "";
    const [viewers, consoles] = [vm.viewers.join(), vm.consoles.join()];
    assertEquals({ name, manager, qmp, held, memory, display, viewers, consoles, agent, missing }, said);
  });
}

Deno.test("probe: a monitor that a person has added and that connects is let in, whoever manages the VM", async () => {
  const advice = 'an [[endpoint]] with qmp = "listen:/run/x/web.qmp" in vmsigd.toml: ';
  const asked = new Set<string>();
  for (const [who, line, { manager, qmp, missing }] of ROWS) {
    if (qmp !== "" || line.includes("/run/x/")) continue;
    const [first = ""] = (await described(`${line} -qmp unix:/run/x/web.qmp`)).missing;
    const isLeft = /^(?:libvirt|libvirt-session|nova|kubevirt|kata|multipass)$/.test(manager);
    assertEquals(first.startsWith(advice), !isLeft, who);
    if (isLeft) assertEquals(first, missing[0], who);
    else asked.add(manager);
  }
  assertEquals([...asked].sort(), ["", "incus", "lima", "proxmox", "quickemu"]);
});
