// SPDX-License-Identifier: Apache-2.0
#pragma once
// Domain XML as libvirt 9 gives it, shortened.

#include <string>

namespace umbra::virt::samples {

/// A running domain: two disks with chains, a CD-ROM, a read-only disk, two NICs, an agent, a device passed through.
inline const std::string live = R"(<domain type='kvm' id='7'>
  <name>web1</name>
  <uuid>6c46433b-a559-4661-b7cf-050811bfebd7</uuid>
  <metadata>
    <other:thing xmlns:other="https://example.org/1" role="primary"/>
    <u:umbra xmlns:u="https://umbra.dev/ns/domain/1" role="primary" peer="beta" epoch="41"/>
  </metadata>
  <memory unit='KiB'>262144</memory>
  <currentMemory unit='KiB'>131072</currentMemory>
  <vcpu placement='static'>3</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><cmdline>console=ttyS0 a="b &amp; c"</cmdline></os>
  <cpu mode='custom' match='exact' check='full'><model fallback='forbid'>EPYC</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/images/umbra/s/top/../top/vda.qcow2' index='5'/>
      <backingStore type='file' index='4'>
        <format type='qcow2'/>
        <source file='/images/umbra/s/top/../point-000002/vda.qcow2'/>
        <backingStore type='file' index='3'>
          <format type='qcow2'/>
          <source file='/images/web1-vda.qcow2'/>
          <backingStore/>
        </backingStore>
      </backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw'/>
      <source dev='/dev/vg/web1' index='2'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source file='/iso/install.iso' index='1'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:aa:37:ee'/>
      <source bridge='br0'/>
      <target dev='vnet0'/>
      <model type='virtio'/>
    </interface>
    <interface type='network'>
      <mac address='52:54:00:aa:37:ef'/>
      <source network='default' portid='x' bridge='virbr0'/>
      <model type='virtio'/>
    </interface>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>
    </channel>
    <hostdev mode='subsystem' type='pci' managed='yes'>
      <source><address domain='0x0000' bus='0x65' slot='0x1f' function='0x1'/></source>
    </hostdev>
  </devices>
  <seclabel type='dynamic' model='dac' relabel='yes'><label>+0:+0</label></seclabel>
  <seclabel type='static' model='selinux'><label>kept</label></seclabel>
</domain>
)";

}  // namespace umbra::virt::samples
