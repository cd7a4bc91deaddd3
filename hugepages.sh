#!/bin/sh
# Prepares a host for vfwire: hugepages, vfio-pci, and virtual functions (VFs) that an application may open.
#
# Every subcommand may be repeated: it does what is still missing and nothing else. What it changed it notes in $journal, newest last, and
# `undo` takes back. The kernel forgets all of it at a reboot, the journal included.
#
# Every change goes through `put` (a value into a kernel file) or `run` (a program); reading changes nothing. So --dry-run is complete.
#
# For tests: VFWIRE_ROOT is put before every path of /sys, /proc, /dev and /run, and $VFWIRE_ROOT/kernel stands in for the kernel: it is run
# as `kernel put VALUE FILE` after each write and as `kernel run PROGRAM ARGUMENT...` in place of each program.
set -eu

root=${VFWIRE_ROOT:-}
pci=$root/sys/bus/pci
journal=$root/run/vfwire-hugepages
dry_run=no
self=${0##*/}

help() {
  cat <<TEXT
Prepares a host for vfwire: hugepages, vfio-pci and virtual functions (VFs).

Usage: $self [--dry-run] COMMAND

  show                            hugepages, IOMMU, vfio-pci, physical functions (PFs), VFs and their owners
  reserve N [2M|1G] [--node N]    have at least N hugepages of 2 MiB (or 1 GiB), on one NUMA node if given
  mount [2M|1G]                   mount a hugetlbfs; vfwire itself needs none, container runtimes and other programs do
  load                            load vfio-pci
  create PF N                     make N VFs on a PF; no kernel driver takes them
  bind ADDRESS... [--user USER]   give functions to vfio-pci, and to USER the nodes of their IOMMU groups
  unbind ADDRESS...               give functions back to the kernel's drivers
  destroy PF                      remove the VFs of a PF
  undo                            take back what reserve, mount, load, create and bind did

  --dry-run                       print the commands and change nothing
  --help                          this text

A PF is a network interface (eth0) or a PCI address (0000:3b:00.0); an ADDRESS is a PCI address. All but show, --dry-run and --help need
root. Repeating a command is harmless. Everything here is gone after a reboot.

Example: two VFs of eth0 for user alice, with 512 MiB of hugepages
  $self reserve 256 && $self load && $self create eth0 2
  $self show
  $self bind 0000:3b:10.0 0000:3b:10.1 --user alice
TEXT
}

say() { printf '%s\n' "$*"; }
warn() { printf '%s: %s\n' "$self" "$*" >&2; }
fail() {
  warn "$*"
  exit 1
}
usage() {
  warn "$*; see $self --help"
  exit 2
}

# --- changes: the only two ways --------------------------------------------------------------------------------------------------------

# put VALUE FILE
put() {
  if [ "$dry_run" = yes ]; then
    say "echo '$1' > ${2#"$root"}"
    return 0
  fi
  printf '%s\n' "$1" > "$2" || fail "the kernel refused '$1' in ${2#"$root"}; the last lines of dmesg say why"
  if [ -n "$root" ]; then "$root/kernel" put "$1" "$2"; fi
}

# run PROGRAM ARGUMENT...
run() {
  if [ "$dry_run" = yes ]; then
    say "$*"
  elif [ -n "$root" ]; then
    "$root/kernel" run "$@"
  else
    "$@"
  fi
}

# note WORD...: what `undo` shall take back, noted before it is done
note() {
  if [ "$dry_run" = yes ]; then return 0; fi
  mkdir -p "${journal%/*}"
  printf '%s\n' "$*" >> "$journal"
}

need_root() {
  if [ "$dry_run" = yes ] || [ -n "$root" ] || [ "$(id -u)" -eq 0 ]; then return 0; fi
  fail "$command needs root: run it with sudo, or add --dry-run to see what it would do"
}

# --- reading ---------------------------------------------------------------------------------------------------------------------------

value() { cat "$1" 2>/dev/null || say "${2:-}"; }
# link FILE: the last part of where a link points; nothing where there is none
link() { if [ -e "$1" ]; then basename "$(readlink -f "$1")"; fi; }
driver_of() { link "$pci/devices/$1/driver"; }
group_of() { link "$pci/devices/$1/iommu_group"; }
netdev_of() { for net in "$pci/devices/$1/net"/*; do if [ -e "$net" ]; then basename "$net"; fi; done; }
meminfo() { sed -n "s/^$1: *\([0-9]*\) kB/\1/p" "$root/proc/meminfo"; }
is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

# full_address ADDRESS: with its PCI domain
full_address() {
  case $1 in
    ????:??:??.?) say "$1" ;;
    ??:??.?) say "0000:$1" ;;
    *) usage "'$1' is not a PCI address such as 0000:3b:10.0" ;;
  esac
}

# function_of ADDRESS: the same, of a function that is there
function_of() {
  found=$(full_address "$1")
  [ -d "$pci/devices/$found" ] || fail "no PCI function $found; '$self show' lists those that matter"
  say "$found"
}

# pf_of NAME-OR-ADDRESS: the address of a PF that can have VFs
pf_of() {
  case $1 in
    *:*) found=$(function_of "$1") ;;
    */* | .*) usage "'$1' is neither a network interface nor a PCI address" ;;
    *)
      [ -e "$root/sys/class/net/$1" ] || fail "no network interface $1; 'ip link' lists them"
      found=$(link "$root/sys/class/net/$1/device")
      [ -n "$found" ] || fail "network interface $1 has no PCI function behind it"
      ;;
  esac
  [ -e "$pci/devices/$found/sriov_totalvfs" ] ||
    fail "$found cannot have VFs: it has no SR-IOV, its driver does not support it, or the firmware has it off"
  say "$found"
}

vfs_of() { for vf in "$pci/devices/$1"/virtfn*; do link "$vf"; done; }

page_kib() {
  case ${1:-2M} in
    2M | 2m) say 2048 ;;
    1G | 1g) say 1048576 ;;
    *) usage "hugepages are 2M or 1G, not '$1'" ;;
  esac
}

# --- commands --------------------------------------------------------------------------------------------------------------------------

show() {
  say 'Hugepages'
  for pool in "$root"/sys/devices/system/node/node*/hugepages/hugepages-*kB; do
    [ -d "$pool" ] || continue
    kib=${pool##*-}
    node=${pool#*/node/node}
    say "  node ${node%%/*}  $((${kib%kB} / 1024)) MiB  $(value "$pool/nr_hugepages") reserved, $(value "$pool/free_hugepages") free"
  done
  while read -r _ folder type options _; do
    if [ "$type" = hugetlbfs ]; then say "  mounted at $folder ($options)"; fi
  done < "$root/proc/mounts"
  say 'VFIO'
  if has_iommu; then say '  IOMMU on'; else say '  no IOMMU'; fi
  if [ -d "$pci/drivers/vfio-pci" ]; then say '  vfio-pci loaded'; else say '  vfio-pci not loaded'; fi
  say 'Physical functions'
  for total in "$pci"/devices/*/sriov_totalvfs; do
    [ -e "$total" ] || continue
    device=${total%/*}
    pf=${device##*/}
    say "  $pf  $(netdev_of "$pf" | tr '\n' ' ') driver $(or_none "$(driver_of "$pf")"), $(value "$device/sriov_numvfs") of $(value "$total") VFs"
    for vf in $(vfs_of "$pf"); do show_function "$vf" '    VF '; done
  done
  if [ -d "$pci/drivers/vfio-pci" ]; then
    say 'Other functions of vfio-pci'
    for device in "$pci"/drivers/vfio-pci/*:*; do
      if [ -e "$device" ] && [ ! -e "$device/physfn" ]; then show_function "${device##*/}" '  '; fi
    done
  fi
}

or_none() { say "${1:-none}"; }

# show_function ADDRESS INDENT
show_function() {
  group=$(group_of "$1")
  owner=$([ -z "$group" ] || stat -c ', owner %U' "$root/dev/vfio/$group" 2>/dev/null || :)
  say "$2$1  driver $(or_none "$(driver_of "$1")"), group $(or_none "$group")$owner, node $(value "$pci/devices/$1/numa_node" -1)"
}

has_iommu() { for group in "$root"/sys/kernel/iommu_groups/*; do [ -e "$group" ] && return 0; done; return 1; }

# reserve N [2M|1G] [--node N]
reserve() {
  pages='' size='' node=''
  while [ $# -gt 0 ]; do
    case $1 in
      --node)
        is_number "${2:-}" || usage '--node needs a number'
        node=$2
        shift
        ;;
      *[!0-9]*) size=$1 ;;
      *) pages=$1 ;;
    esac
    shift
  done
  is_number "$pages" || usage 'reserve needs a number of pages'
  kib=$(page_kib "$size")
  if [ -n "$node" ]; then
    [ -d "$root/sys/devices/system/node/node$node" ] || fail "no NUMA node $node; '$self show' lists them"
    pool=$root/sys/devices/system/node/node$node/hugepages/hugepages-${kib}kB
  else
    pool=$root/sys/kernel/mm/hugepages/hugepages-${kib}kB
  fi
  [ -d "$pool" ] || fail "this machine has no hugepages of $((kib / 1024)) MiB"
  before=$(value "$pool/nr_hugepages")
  if [ "$before" -ge "$pages" ]; then
    say "$before pages of $((kib / 1024)) MiB are reserved already"
    return 0
  fi
  # Left to itself the kernel gives the last of its memory, and then kills programs.
  need=$(((pages - before) * kib))
  available=$(meminfo MemAvailable)
  spare=$(($(meminfo MemTotal) / 16))
  [ $((need + spare)) -le "$available" ] || fail "$((pages - before)) more pages of $((kib / 1024)) MiB are $((need / 1024)) MiB, and of the" \
    "$((available / 1024)) MiB available $((spare / 1024)) MiB must stay free: reserve fewer, or free memory"
  note pages "$before" "$pool/nr_hugepages"
  put "$pages" "$pool/nr_hugepages"
  if [ "$dry_run" = yes ]; then return 0; fi
  after=$(value "$pool/nr_hugepages")
  if [ "$after" -lt "$pages" ]; then
    put "$before" "$pool/nr_hugepages"
    fail "the kernel found room for $after of $pages pages of $((kib / 1024)) MiB, so none were added: reserve fewer; or reserve right after" \
      "boot, or with hugepagesz=$((kib / 1024))M hugepages=$pages on the kernel's command line, while memory is not fragmented"
  fi
  say "$after pages of $((kib / 1024)) MiB are reserved"
}

# mount [2M|1G]
mount_pages() {
  kib=$(page_kib "${1:-}")
  while read -r _ folder type options _; do
    case "$type,$options," in
      hugetlbfs,*,pagesize=$((kib / 1024))M,* | hugetlbfs,*,pagesize=$((kib / 1048576))G,*)
        say "hugepages of $((kib / 1024)) MiB are mounted at $folder already"
        return 0
        ;;
    esac
  done < "$root/proc/mounts"
  folder=/dev/hugepages
  if [ "$kib" -eq 1048576 ]; then folder=/dev/hugepages-1G; fi
  note mount "$folder"
  run mkdir -p "$folder"
  run mount -t hugetlbfs -o "pagesize=$((kib / 1024))M" none "$folder"
}

load() {
  has_iommu || fail 'no IOMMU: turn on VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on where the kernel does not do so by itself'
  if [ -d "$pci/drivers/vfio-pci" ]; then
    say 'vfio-pci is loaded already'
  else
    note module
    run modprobe vfio-pci
  fi
}

# create PF N
create() {
  [ $# -eq 2 ] || usage 'create needs a PF and a number of VFs'
  pf=$(pf_of "$1")
  device=$pci/devices/$pf
  if ! is_number "$2" || [ "$2" -eq 0 ]; then usage "'$2' is not a number of VFs; to have none, destroy them"; fi
  [ "$2" -le "$(value "$device/sriov_totalvfs")" ] || fail "$pf has at most $(value "$device/sriov_totalvfs") VFs, not $2"
  have=$(value "$device/sriov_numvfs")
  if [ "$have" -eq "$2" ]; then
    say "$pf has $have VFs already"
  elif [ "$have" -ne 0 ]; then
    fail "$pf has $have VFs, and the kernel changes that number only from 0: run '$self destroy $1' first"
  else
    autoprobe=$(value "$device/sriov_drivers_autoprobe" 1)
    note vfs "$pf" "$autoprobe"
    put 0 "$device/sriov_drivers_autoprobe"
    put "$2" "$device/sriov_numvfs"
  fi
  for vf in $(vfs_of "$pf"); do show_function "$vf" 'VF '; done
  for net in $(netdev_of "$pf"); do
    is_up "$net" || warn "$net is down, and most VFs do not work until it is up: ip link set $net up"
  done
}

# is_up INTERFACE: whether it is administratively up (IFF_UP)
is_up() { [ $(($(value "$root/sys/class/net/$1/flags" 0) & 1)) -eq 1 ]; }

# bind ADDRESS... [--user USER]
bind() {
  user='' addresses=''
  while [ $# -gt 0 ]; do
    case $1 in
      --user)
        user=${2:-}
        id "$user" > /dev/null 2>&1 || usage "--user needs the name of a user, and '$user' is none"
        shift
        ;;
      *) addresses="$addresses $(function_of "$1")" ;;
    esac
    shift
  done
  [ -n "$addresses" ] || usage 'bind needs an address'
  if [ "$dry_run" = no ]; then
    [ -d "$pci/drivers/vfio-pci" ] || fail "vfio-pci is not loaded: run '$self load' first"
  fi
  for address in $addresses; do bind_one "$address"; done
  for address in $addresses; do
    warn_of_siblings "$address"
    if [ -n "$user" ]; then give_group "$(group_of "$address")" "$user"; fi
  done
}

# bind_one ADDRESS
bind_one() {
  device=$pci/devices/$1
  driver=$(driver_of "$1")
  if [ "$driver" = vfio-pci ]; then
    say "$1 belongs to vfio-pci already"
    return 0
  fi
  [ -e "$device/iommu_group" ] || fail "$1 is in no IOMMU group: turn on the IOMMU (VT-d, AMD-Vi); '$self load' says more"
  for net in $(netdev_of "$1"); do
    ! is_up "$net" || fail "$1 is $net, and $net is up: the kernel uses it; if it is the right one, first run: ip link set $net down"
  done
  note bound "$1" "${driver:-none}"
  put vfio-pci "$device/driver_override"
  if [ -n "$driver" ]; then put "$1" "$device/driver/unbind"; fi
  put "$1" "$pci/drivers_probe"
  if [ "$dry_run" = yes ]; then return 0; fi
  [ "$(driver_of "$1")" = vfio-pci ] || fail "vfio-pci did not take $1; the last lines of dmesg say why"
  say "$1 belongs to vfio-pci, group $(group_of "$1")"
}

# warn_of_siblings ADDRESS: VFIO opens a group only when no kernel driver has any of its functions
warn_of_siblings() {
  for sibling in "$pci/devices/$1"/iommu_group/devices/*; do
    name=${sibling##*/}
    if [ ! -e "$sibling" ] || [ "$name" = "$1" ]; then continue; fi
    case $(driver_of "$name") in
      '' | vfio-pci | pcieport | pci-stub) ;;
      *) warn "group $(group_of "$1") is not usable while $name of the same group belongs to $(driver_of "$name"): bind it too, or unbind it" ;;
    esac
  done
}

# give_group GROUP USER
give_group() {
  node=$root/dev/vfio/$1
  owner=$(stat -c %U "$node" 2>/dev/null || say root)
  if [ "$owner" = "$2" ]; then
    say "/dev/vfio/$1 belongs to $2 already"
    return 0
  fi
  note owner "$owner" "$1"
  run chown "$2" "/dev/vfio/$1"
  say "/dev/vfio/$1 belongs to $2, who also needs locked memory for all that is mapped ('ulimit -l')"
}

# unbind ADDRESS...
unbind() {
  [ $# -gt 0 ] || usage 'unbind needs an address'
  for argument in "$@"; do
    address=$(function_of "$argument")
    if [ "$(driver_of "$address")" = vfio-pci ]; then
      release "$address" yes
    else
      say "$address does not belong to vfio-pci"
    fi
  done
}

# release ADDRESS PROBE: take a function from vfio-pci; PROBE says whether the kernel's driver shall have it
release() {
  device=$pci/devices/$1
  put '' "$device/driver_override"
  if [ -e "$device/driver" ]; then put "$1" "$device/driver/unbind"; fi
  if [ "$2" = no ]; then return 0; fi
  # The kernel's drivers take a VF only while its PF lets them.
  autoprobe=$(value "$device/physfn/sriov_drivers_autoprobe" 1)
  if [ "$autoprobe" = 0 ]; then put 1 "$device/physfn/sriov_drivers_autoprobe"; fi
  put "$1" "$pci/drivers_probe"
  if [ "$autoprobe" = 0 ]; then put 0 "$device/physfn/sriov_drivers_autoprobe"; fi
  if [ "$dry_run" = no ]; then say "$1 belongs to $(or_none "$(driver_of "$1")")"; fi
}

# destroy PF
destroy() {
  [ $# -eq 1 ] || usage 'destroy needs a PF'
  pf=$(pf_of "$1")
  remove_vfs "$pf" 1
}

# remove_vfs PF AUTOPROBE
remove_vfs() {
  device=$pci/devices/$1
  if [ "$(value "$device/sriov_numvfs" 0)" -eq 0 ]; then
    say "$1 has no VFs"
  else
    say "removing the VFs of $1; this waits until no program has them open"
    put 0 "$device/sriov_numvfs"
  fi
  if [ "$(value "$device/sriov_drivers_autoprobe" "$2")" != "$2" ]; then put "$2" "$device/sriov_drivers_autoprobe"; fi
}

# The journal backwards. A line whose work is gone already, by hand or by another command, is passed over.
undo() {
  if [ ! -s "$journal" ]; then
    say 'nothing to undo'
    return 0
  fi
  sed '1!G;h;$!d' "$journal" | while read -r what first second; do undo_one "$what" "$first" "$second" < /dev/null; done
  run rm -f "${journal#"$root"}"
}

# undo_one WHAT FIRST SECOND: one line of the journal
undo_one() {
  case $1 in
    pages) put "$2" "$3" ;;
    mount) if mounted "$2"; then run umount "$2"; fi ;;
    module) if [ -d "$pci/drivers/vfio-pci" ]; then run modprobe -r vfio-pci; fi ;;
    vfs) if [ -e "$pci/devices/$2" ]; then remove_vfs "$2" "$3"; fi ;;
    bound)
      case $(value "$pci/devices/$2/driver_override"),$3 in
        vfio-pci,none) release "$2" no ;;
        vfio-pci,*) release "$2" yes ;;
      esac
      ;;
    owner) if [ -e "$root/dev/vfio/$3" ]; then run chown "$2" "/dev/vfio/$3"; fi ;;
    *) warn "$journal has a line that this version does not know: $*" ;;
  esac
}

mounted() { while read -r _ folder _; do if [ "$folder" = "$1" ]; then return 0; fi; done < "$root/proc/mounts"; return 1; }

# --- the command line ------------------------------------------------------------------------------------------------------------------

command=''
for argument in "$@"; do
  shift
  case $argument in
    --dry-run) dry_run=yes ;;
    --help | -h)
      help
      exit 0
      ;;
    *) if [ -z "$command" ]; then command=$argument; else set -- "$@" "$argument"; fi ;;
  esac
done

case $command in
  show | '') ;;
  reserve | mount | load | create | bind | unbind | destroy | undo) need_root ;;
  *) usage "'$command' is not a command" ;;
esac
case $command in
  '')
    help >&2
    exit 2
    ;;
  mount) mount_pages "$@" ;;
  *) "$command" "$@" ;;
esac
