#!/bin/sh
# The first process of the boot environment: kernel file systems, drivers, consoles, then the client, for ever.
# Words of the kernel command line it knows: fleetcast.debug (shells on tty2 and the serial consoles' place
# of the client's keyboard), fleetcast.selftest (prove the boot image on this machine, then power off).
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

if asked fleetcast.selftest; then
    "$client" --self-test >/dev/console 2>&1 || echo "FLEETCAST SELF-TEST FAILED" >/dev/console
    poweroff -f
fi

if asked fleetcast.debug; then
    (while :; do setsid -c sh -l </dev/tty2 >/dev/tty2 2>&1; sleep 1; done) &
fi

# One client; its screen goes to the first virtual terminal and to every serial console the kernel was given.
screens=/dev/tty1
for console in $(cat /sys/class/tty/console/active); do
    case $console in
        tty|tty[0-9]*) ;;
        *) stty -F "/dev/$console" -echo 2>/dev/null; screens="$screens /dev/$console" ;;
    esac
done

while :; do
    "$client" </dev/tty1 2>&1 | tee $screens >/dev/null
    echo "The Fleetcast client ended; it starts again in 3 seconds." | tee $screens >/dev/null
    sleep 3
done
