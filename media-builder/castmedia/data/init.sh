#!/bin/sh
# The first process of the boot environment: kernel file systems, drivers, consoles, then the client, for ever.
# Words of the kernel command line it knows: fleetcast.debug (root shells on tty2 and the serial consoles),
# fleetcast.selftest (prove the boot image on this machine, show the hardware found, power off).
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux LC_ALL=C.UTF-8
client=/usr/lib/fleetcast/fleetcast-client/fleetcast-client

mount -t proc -o nosuid,noexec,nodev proc /proc
mount -t sysfs -o nosuid,noexec,nodev sysfs /sys
mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,gid=0,mode=620 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /tmp
ln -sfn /proc/self/fd /dev/fd
mkdir -p /run/lock /var/log
ln -sfn /run /var/run
hostname -F /etc/hostname
ip link set lo up

asked() { grep -qw -- "$1" /proc/cmdline; }

# The kernel's own messages would tear the client's screen; dmesg keeps them.
asked fleetcast.debug || dmesg -n 3

# Drivers load by the hardware's own names for itself; a device that never settles must not stop the boot.
/usr/lib/systemd/systemd-udevd --daemon --resolve-names=never
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=15
[ -d /sys/firmware/efi ] && mount -t efivarfs -o nosuid,noexec,nodev efivarfs /sys/firmware/efi/efivars

# The keyboard layout that the medium was built with (media-builder --keymap).
keymap=/etc/fleetcast/keymap
[ -f "$keymap" ] && [ -c /dev/tty1 ] && loadkmap <"$keymap"

if asked fleetcast.selftest; then
    "$client" --self-test >/dev/console 2>&1 || echo "FLEETCAST SELF-TEST FAILED" >/dev/console
    poweroff -f
fi

shells_on() {
    for terminal in "$@"; do
        (while :; do setsid -c sh -l <"/dev/$terminal" >"/dev/$terminal" 2>&1; sleep 1; done) &
    done
}
# shellcheck disable=SC2046 # one word a console
asked fleetcast.debug && shells_on tty2 $(tr ' ' '\n' </sys/class/tty/console/active | grep -v '^tty[0-9]*$')

# The client draws on tty1 and tells its states on the serial consoles by itself; what else it says is an error.
keyboard=/dev/tty1
[ -c "$keyboard" ] || keyboard=/dev/null
while :; do
    "$client" <"$keyboard" >/dev/console 2>&1
    echo "The Fleetcast client ended with status $?; it starts again in 3 seconds." >/dev/console
    sleep 3
done
