# Shell functions of the guest's scripts and scenarios.
pci=/sys/bus/pci/devices

# This shell prefers busybox's own `ip`, which knows neither VFs nor namespaces.
ip() { /usr/bin/ip "$@"; }

# Starting a program takes the emulation tens of milliseconds: what runs often makes do with what the shell itself can do.

# devices ID: the sysfs folders of the functions of this device ID, in the order of their slots.
devices() { for folder in $pci/*; do read -r id < "$folder/device" && [ "$id" = "$1" ] && echo "$folder"; done; }

# The sysfs folders of the 82576 PFs.
pfs() { devices 0x10c9; }

# The addresses of the virtio-net functions.
virtio_functions() { for folder in $(devices 0x1041); do echo "${folder##*/}"; done; }

# all_there PFS VIRTIO: whether the kernel has found so many PFs, with their drivers, and virtio-net functions.
all_there() { [ "$(ls -d $(pfs | sed 's,$,/net,') | wc -l)" = "$1" ] && [ "$(virtio_functions | wc -l)" = "$2" ]; }

pci_id() { echo "$(cut -c3- "$pci/$1/vendor"):$(cut -c3- "$pci/$1/device")"; }
group() { basename "$(readlink "$pci/$1/iommu_group")"; }

# bind FUNCTION DRIVER: gives a function to a driver, whatever had it before.
bind() {
  [ -e "/sys/bus/pci/drivers/$2/$1" ] && return
  [ -e "$pci/$1/driver" ] && echo "$1" > "$pci/$1/driver/unbind"
  echo "$2" > "$pci/$1/driver_override"
  echo "$1" > /sys/bus/pci/drivers_probe
  [ -e "/sys/bus/pci/drivers/$2/$1" ] || { echo "could not bind $1 to $2"; return 1; }
}

# netdev FUNCTION: the name of the interface that a virtio-net function has with the kernel's driver.
netdev() { ls $pci/"$1"/virtio*/net; }

# alive PID: running, and not a zombie.
alive() { [ -e "/proc/$1/stat" ] && ! grep -q ') Z ' "/proc/$1/stat"; }

# The kernel's monotonic clock in nanoseconds. By built-in commands: a program that is started takes the emulation milliseconds.
now_ns() { while read -r now _ ns _; do [ "$now" = now ] && echo "$ns" && break; done < /proc/timer_list; }

# wait_for LIMIT_S COMMAND…: until the command succeeds.
wait_for() {
  tries=$(($1 * 20)); shift
  until "$@" > /dev/null 2>&1; do
    tries=$((tries - 1)); [ $tries -gt 0 ] || return 1
    usleep 50000
  done
}
