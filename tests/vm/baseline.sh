# The state that every scenario starts from: nothing of ours running, every PF up with MTU 1500 and two VFs that belong to vfio-pci,
# no MAC given to a VF by its PF, every virtio-net function with vfio-pci, hugepages reserved. Idempotent: it touches only what differs.
# shellcheck source=tests/vm/functions.sh
. /vm/functions.sh
for pid in $(pidof vfwire echo rx_queues tso vlans); do kill -9 "$pid"; done
for namespace in /run/netns/*; do [ ! -e "$namespace" ] || ip netns delete "${namespace##*/}"; done
[ ! -e /sys/class/net/bridge ] || ip link del bridge
echo 128 > /proc/sys/vm/nr_hugepages
for function in $(virtio_functions); do bind "$function" vfio-pci; done
for pf in $(pfs); do
  for net in "$pf"/net/*; do net=${net##*/}; done
  read -r mtu < "$pf/net/$net/mtu"
  [ "$mtu" = 1500 ] || ip link set "$net" mtu 1500
  read -r state < "$pf/net/$net/operstate"
  [ "$state" = up ] || ip link set "$net" up
  echo 0 > "$pf/sriov_drivers_autoprobe"
  read -r vfs < "$pf/sriov_numvfs"
  [ "$vfs" = 2 ] || echo 2 > "$pf/sriov_numvfs"
  without_macs=$(ip link show "$net" | grep -c 'vf [01] .*ether 00:00:00:00:00:00')
  for index in 0 1; do
    vf=$(basename "$(readlink "$pf/virtfn$index")")
    bind "$vf" vfio-pci
    [ "$without_macs" = 2 ] || ip link set "$net" vf "$index" mac 00:00:00:00:00:00
  done
done
chown root:root /dev/vfio/[0-9]*
