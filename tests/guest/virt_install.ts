/**
 * A domain as virt-install 4.1 of Debian 12 writes it, for
 *
 *   virt-install --name NAME --memory 512 --virt-type qemu --osinfo debian11 --network none
 *     --disk DISK,size=1 --boot kernel=KERNEL,initrd=INITRD,kernel_args=WORDS --graphics vnc,listen=socket
 *     --serial unix,source.mode=bind,source.path=PORT --print-xml 1
 *
 * with `--memorybacking source.type=memfd,access.mode=shared` and `--qemu-commandline` where they are asked
 * for. The many PCIe root ports are left to libvirt.
 * @module
 */

/** What differs. */
export interface InstallOptions {
  readonly name: string;
  /** The guest's system, as QEMU's user can read it. */
  readonly kernel: string;
  readonly initrd: string;
  readonly words: string;
  /** A qcow2 disk. */
  readonly disk: string;
  /** A second serial port, on a unix socket. */
  readonly port: string;
  /** Whether its RAM can be shared. */
  readonly memfd?: boolean;
  /** A second monitor, on a unix socket; "" for none. */
  readonly monitor?: string;
}

/** The domain. */
export function virtInstallXml(options: InstallOptions): string {
  const { name, kernel, initrd, words, disk, port, memfd = false, monitor = "" } = options;
  const memory = memfd
    ? `<memoryBacking>
    <access mode="shared"/>
    <source type="memfd"/>
  </memoryBacking>`
    : "";
  const more = monitor === ""
    ? ""
    : `<qemu:commandline xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
    <qemu:arg value="-qmp"/>
    <qemu:arg value="unix:${monitor},server=on,wait=off"/>
  </qemu:commandline>`;
  return `<domain type="qemu">
  <name>${name}</name>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/11"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory>524288</memory>
  <currentMemory>524288</currentMemory>
  ${memory}
  <vcpu>1</vcpu>
  <os>
    <type arch="x86_64" machine="q35">hvm</type>
    <kernel>${kernel}</kernel>
    <initrd>${initrd}</initrd>
    <cmdline>${words}</cmdline>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <clock offset="utc">
    <timer name="rtc" tickpolicy="catchup"/>
    <timer name="pit" tickpolicy="delay"/>
    <timer name="hpet" present="no"/>
  </clock>
  <pm>
    <suspend-to-mem enabled="no"/>
    <suspend-to-disk enabled="no"/>
  </pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" discard="unmap"/>
      <source file="${disk}"/>
      <target dev="vda" bus="virtio"/>
    </disk>
    <controller type="usb" model="qemu-xhci" ports="15"/>
    <serial type="pty"/>
    <serial type="unix">
      <source mode="bind" path="${port}"/>
    </serial>
    <console type="pty"/>
    <channel type="unix">
      <source mode="bind"/>
      <target type="virtio" name="org.qemu.guest_agent.0"/>
    </channel>
    <input type="tablet" bus="usb"/>
    <graphics type="vnc">
      <listen type="socket"/>
    </graphics>
    <video>
      <model type="virtio"/>
    </video>
    <memballoon model="virtio"/>
    <rng model="virtio">
      <backend model="random">/dev/urandom</backend>
    </rng>
  </devices>
  ${more}
</domain>
`;
}
