// Powercut takes the power from a machine in the middle of upgrades, again and
// again, and looks whether the device is as before or as after each time. `make
// powercut` runs it; docs/crash.md tells what it does and what it has found.
//
// The machine is virtual: qemu with a Debian kernel, an initramfs with jamesc and
// the program in guest, and ext4 on drives that package drive provides. jamesd
// runs outside of it. A power cut is a SIGKILL for qemu, after which the drives
// lose what the machine had not flushed.
package main
