#!/bin/sh
# Tests hugepages.sh against a made-up machine: a folder with the parts of /sys, /proc and /dev that it reads, and a program that does what
# the kernel would do after each write. Ends with `N passed, N failed`.   usage: sh tests/hugepages.sh [SCRIPT]
set -u

script=${1:-$(dirname "$0")/../hugepages.sh}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export VFWIRE_ROOT="$folder/machine"
pci=$VFWIRE_ROOT/sys/bus/pci
pages=$VFWIRE_ROOT/sys/kernel/mm/hugepages/hugepages-2048kB
pf=0000:3b:00.0
vf=0000:3b:10.0
passed=0
failed=0

# --- the machine: two NUMA nodes, an IOMMU, one PF that can have four VFs, room for 100 hugepages ------------------------------------------

file() {
  mkdir -p "$(dirname "$VFWIRE_ROOT/$1")"
  printf '%s\n' "$2" > "$VFWIRE_ROOT/$1"
}

new_machine() {
  rm -rf "$VFWIRE_ROOT"
  for pool in kernel/mm devices/system/node/node0 devices/system/node/node1; do
    file "sys/$pool/hugepages/hugepages-2048kB/nr_hugepages" 8
    file "sys/$pool/hugepages/hugepages-2048kB/free_hugepages" 8
  done
  file proc/meminfo "$(printf 'MemTotal:  1048576 kB\nMemFree:    400000 kB\nMemAvailable:   524288 kB')"
  file proc/mounts 'none /proc proc rw 0 0'
  file sys/bus/pci/drivers_probe ''
  file sys/bus/pci/drivers/igb/unbind ''
  file sys/bus/pci/drivers/igbvf/unbind ''
  file "sys/bus/pci/devices/$pf/sriov_totalvfs" 4
  file "sys/bus/pci/devices/$pf/sriov_numvfs" 0
  file "sys/bus/pci/devices/$pf/sriov_drivers_autoprobe" 1
  file "sys/bus/pci/devices/$pf/driver_override" '(null)'
  file sys/class/net/eth0/flags 0x1003
  mkdir -p "$pci/devices/$pf/net/eth0" "$VFWIRE_ROOT/sys/kernel/iommu_groups/1/devices" "$VFWIRE_ROOT/dev/vfio" "$VFWIRE_ROOT/run"
  ln -s "$pci/drivers/igb" "$pci/devices/$pf/driver"
  ln -s "$VFWIRE_ROOT/sys/kernel/iommu_groups/1" "$pci/devices/$pf/iommu_group"
  ln -s "$pci/devices/$pf" "$VFWIRE_ROOT/sys/class/net/eth0/device"
  cp "$folder/kernel" "$VFWIRE_ROOT/kernel"
  : > "$folder/changes"
}

cat > "$folder/kernel" <<'KERNEL'
#!/bin/sh
# What the kernel and the host's programs do: `kernel put VALUE FILE` after a write, `kernel run PROGRAM ARGUMENT...`.
set -eu
pci=$VFWIRE_ROOT/sys/bus/pci
groups=$VFWIRE_ROOT/sys/kernel/iommu_groups
printf '%s\n' "$*" >> "$VFWIRE_ROOT/../changes"

make_vf() { # PF INDEX
  vf=0000:3b:10.$2
  mkdir -p "$pci/devices/$vf" "$groups/2$2/devices"
  : > "$pci/devices/$vf/driver_override"
  ln -s "$pci/devices/$1" "$pci/devices/$vf/physfn"
  ln -s "$pci/devices/$vf" "$pci/devices/$1/virtfn$2"
  ln -s "$groups/2$2" "$pci/devices/$vf/iommu_group"
  ln -s "$pci/devices/$vf" "$groups/2$2/devices/$vf"
  probe "$vf"
}
remove_vfs() { # PF
  for vf in "$pci/devices/$1"/virtfn*; do
    if [ -e "$vf" ]; then rm -rf "$(readlink "$vf/iommu_group")" "$(readlink "$vf")" "$vf"; fi
  done
}
probe() { # ADDRESS: the rule of pci_device_can_probe
  device=$pci/devices/$1
  driver=$(cat "$device/driver_override")
  autoprobe=$(cat "$device/physfn/sriov_drivers_autoprobe")
  if [ -e "$device/driver" ]; then return 0; fi
  if [ -z "$driver" ] && [ "$autoprobe" = 0 ]; then return 0; fi
  ln -s "$pci/drivers/${driver:-igbvf}" "$device/driver"
  if [ "$driver" = vfio-pci ]; then : > "$VFWIRE_ROOT/dev/vfio/$(basename "$(readlink "$device/iommu_group")")"; fi
}

case $1,$2,${3:-} in
  put,*,*/nr_hugepages) if [ "$2" -gt 100 ]; then echo 100 > "$3"; fi ;;
  put,0,*/sriov_numvfs) remove_vfs "$(basename "$(dirname "$3")")" ;;
  put,*,*/sriov_numvfs)
    index=0
    while [ "$index" -lt "$2" ]; do
      make_vf "$(basename "$(dirname "$3")")" "$index"
      index=$((index + 1))
    done
    ;;
  put,*,*/driver/unbind) rm -f "$VFWIRE_ROOT/dev/vfio/$(basename "$(readlink "$pci/devices/$2/iommu_group")")" "$pci/devices/$2/driver" ;;
  put,*,*/drivers_probe) probe "$2" ;;
  put,*,*/driver_override | put,*,*/sriov_drivers_autoprobe) ;;
  run,modprobe,-r) rm -r "$pci/drivers/vfio-pci" ;;
  run,modprobe,vfio-pci) mkdir "$pci/drivers/vfio-pci" && : > "$pci/drivers/vfio-pci/unbind" ;;
  run,mkdir,-p) mkdir -p "$VFWIRE_ROOT$4" ;;
  run,rm,-f) rm "$VFWIRE_ROOT$4" ;;
  run,mount,-t) printf 'none %s %s rw,relatime,%s 0 0\n' "$8" "$4" "$6" >> "$VFWIRE_ROOT/proc/mounts" ;;
  run,umount,*)
    grep -v " $3 " "$VFWIRE_ROOT/proc/mounts" > "$VFWIRE_ROOT/proc/left" || true
    mv "$VFWIRE_ROOT/proc/left" "$VFWIRE_ROOT/proc/mounts"
    ;;
  run,chown,*) chown "$3" "$VFWIRE_ROOT$4" ;;
  *)
    echo "the made-up kernel does not know: $*" >&2
    exit 1
    ;;
esac
KERNEL
chmod +x "$folder/kernel"

# --- checks --------------------------------------------------------------------------------------------------------------------------------

# The whole machine as text; the last values written to files that only take orders do not count.
snapshot() { (cd "$VFWIRE_ROOT" && find . ! -name unbind ! -name drivers_probe ! -name hugepages -printf '%p %l %u\n' -type f -exec cat {} \; | sort); }

check() { # NAME COMMAND...
  name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
    sed 's/^/    /' "$folder/out"
  fi
}
# do_it ARGUMENT...: runs the script; its output and status are kept
do_it() {
  sh "$script" "$@" > "$folder/out" 2>&1
  status=$?
  echo "[$* ended with $status]" >> "$folder/out"
}
ended() { [ "$status" -eq "$1" ]; }
says() { grep -qF -- "$1" "$folder/out"; }
holds() { [ "$(cat "$2")" = "$1" ]; }
driver_is() { [ "$(basename "$(readlink "$pci/devices/$2/driver")")" = "$1" ]; }
# put VALUE FILE: as another program of the host would
put() { echo "$1" > "$2" && "$VFWIRE_ROOT/kernel" put "$1" "$2"; }
has_no_driver() { [ ! -e "$pci/devices/$1/driver" ]; }

# twice ARGUMENT...: succeeds, and the second time changes nothing
twice() {
  do_it "$@"
  check "$* succeeds" ended 0
  : > "$folder/changes"
  do_it "$@"
  check "$* succeeds again" ended 0
  check "$* changes nothing the second time" test ! -s "$folder/changes"
}

# refused STATUS WORDS ARGUMENT...: ends so, says so, and changes nothing
refused() {
  expected=$1 words=$2
  shift 2
  before=$(snapshot)
  do_it "$@"
  check "$* ends with $expected" ended "$expected"
  check "$* says: $words" says "$words"
  check "$* changes nothing" test "$before" = "$(snapshot)"
}

echo '# what it did, it does once and takes back'
new_machine
untouched=$(snapshot)
twice reserve 64
check 'pages are reserved' holds 64 "$pages/nr_hugepages"
twice reserve 32 2M --node 1
check 'pages of the node are reserved' holds 32 "$VFWIRE_ROOT/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
do_it reserve 16
check 'fewer pages are not taken away' holds 64 "$pages/nr_hugepages"
twice mount
check 'hugepages are mounted' grep -q '/dev/hugepages hugetlbfs rw,relatime,pagesize=2M' "$VFWIRE_ROOT/proc/mounts"
twice load
twice create eth0 2
check 'no kernel driver takes a VF' has_no_driver "$vf"
twice bind "$vf" 3b:10.1
check 'a VF belongs to vfio-pci' driver_is vfio-pci "$vf"
do_it show
check 'show lists the VF' says "VF $vf  driver vfio-pci, group 20, owner"
check 'show lists the PF' says "driver igb, 2 of 4 VFs"
if [ "$(id -u)" -eq 0 ]; then
  twice bind "$vf" --user nobody
  check 'the node belongs to the user' test "$(stat -c %U "$VFWIRE_ROOT/dev/vfio/20")" = nobody
fi
twice unbind 3b:10.1
check 'a VF goes back to its kernel driver' driver_is igbvf 0000:3b:10.1
check 'a new VF still goes to no kernel driver' holds 0 "$pci/devices/$pf/sriov_drivers_autoprobe"
do_it --dry-run undo
check 'undo can be shown' says "echo '0' > /sys/bus/pci/devices/$pf/sriov_numvfs"
check 'and is not done' driver_is vfio-pci "$vf"
twice undo
check 'undo leaves the machine as it was' test "$untouched" = "$(snapshot)"

echo '# undo gives each function back to what had it'
new_machine
do_it load
do_it create "$pf" 1
do_it unbind "$vf"
check 'unbind of what is not bound says so' says "$vf does not belong to vfio-pci"
do_it undo
do_it load
put 0 "$pci/devices/$pf/sriov_drivers_autoprobe"
put 1 "$pci/devices/$pf/sriov_numvfs"
do_it bind "$vf"
do_it undo
check 'a VF that had no driver has none' has_no_driver "$vf"
do_it load
put 1 "$pci/devices/$pf/sriov_drivers_autoprobe"
put "$vf" "$pci/drivers_probe"
do_it bind "$vf"
check 'vfio-pci takes it from its driver' driver_is vfio-pci "$vf"
do_it undo
check 'its driver has it again' driver_is igbvf "$vf"

if [ "$(id -u)" -eq 0 ]; then
  do_it load
  put vfio-pci "$pci/devices/$vf/driver_override"
  put "$vf" "$pci/devices/$vf/driver/unbind"
  put "$vf" "$pci/drivers_probe"
  do_it bind "$vf" --user nobody
  do_it undo
  check 'a node that was there before has its owner again' test "$(stat -c %U "$VFWIRE_ROOT/dev/vfio/20")" = root
fi

echo '# destroy'
twice destroy eth0
check 'the VFs are gone' test ! -e "$pci/devices/$vf"

echo '# --dry-run prints every change and makes none'
new_machine
untouched=$(snapshot)
for arguments in 'reserve 64' 'mount 2M' load 'create eth0 2' "bind $vf"; do
  # shellcheck disable=SC2086 # words on purpose
  do_it --dry-run $arguments
  check "--dry-run $arguments changes nothing" test "$untouched" = "$(snapshot)"
done
do_it reserve 64 --dry-run
check 'reserve is printed' says "echo '64' > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
do_it mount --dry-run
check 'mount is printed' says 'mount -t hugetlbfs -o pagesize=2M none /dev/hugepages'
do_it load --dry-run
check 'load is printed' says 'modprobe vfio-pci'
do_it create eth0 2 --dry-run
check 'create is printed' says "echo '2' > /sys/bus/pci/devices/$pf/sriov_numvfs"
check 'create keeps kernel drivers off' says "echo '0' > /sys/bus/pci/devices/$pf/sriov_drivers_autoprobe"
put 1 "$pci/devices/$pf/sriov_numvfs"
do_it bind "$vf" --dry-run
check 'bind is printed' says "echo 'vfio-pci' > /sys/bus/pci/devices/$vf/driver_override"
check 'bind takes the function from its driver' says "echo '$vf' > /sys/bus/pci/devices/$vf/driver/unbind"

echo '# refusals say what to do'
new_machine
refused 2 'is not a command' resrve 64
refused 2 'needs a number' reserve
refused 2 '2M or 1G' reserve 64 4M
refused 1 'no hugepages of 1024 MiB' reserve 1 1G
refused 1 'no NUMA node 7' reserve 1 --node 7
refused 1 'no network interface eth9' create eth9 2
refused 1 'at most 4 VFs' create eth0 5
refused 2 'not a number of VFs' create eth0 0
refused 2 'is not a PCI address' bind eth0
refused 1 'no PCI function 0000:ff:00.0' bind ff:00.0
refused 2 'needs the name of a user' bind "$pf" --user no-such-user-here
refused 1 "run 'hugepages.sh load' first" bind "$pf"
do_it load
refused 1 'ip link set eth0 down' bind "$pf"
do_it create eth0 2
refused 1 "run 'hugepages.sh destroy eth0' first" create eth0 3
refused 1 'cannot have VFs' create "$vf" 1
do_it reserve 128
check 'a shortage is an error' ended 1
check 'a shortage is explained' says 'room for 100 of 128 pages'
check 'a shortage leaves what was' holds 8 "$pages/nr_hugepages"
refused 1 '232 more pages of 2 MiB are 464 MiB, and of the 512 MiB available 64 MiB must stay free' reserve 240
echo 0x1002 > "$VFWIRE_ROOT/sys/class/net/eth0/flags"
do_it create eth0 2
check 'a PF that is down is named' says 'ip link set eth0 up'
ln -s "$pci/devices/$pf" "$VFWIRE_ROOT/sys/kernel/iommu_groups/20/devices/$pf"
do_it bind "$vf"
check 'a sibling in the way is named' says "not usable while $pf of the same group belongs to igb"
new_machine
rm -r "$VFWIRE_ROOT/sys/kernel/iommu_groups"
refused 1 'turn on VT-d or AMD-Vi' load
if [ "$(id -u)" -eq 0 ] && command -v setpriv > /dev/null; then
  VFWIRE_ROOT='' setpriv --reuid=65534 --clear-groups sh < "$script" -s -- load > "$folder/out" 2>&1
  status=$?
  check 'an ordinary user is refused' ended 1
  check 'an ordinary user is told about sudo' says 'needs root: run it with sudo, or add --dry-run'
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
