# The state that every scenario starts from: nothing of ours running, every PF up with MTU 1500 and two VFs that belong to vfio-pci,
# no MAC given to a VF by its PF, every virtio-net function with vfio-pci, hugepages reserved. Idempotent: it touches only what differs.
# shellcheck source=tests/vm/functions.sh
. /vm/functions.sh
for pid in $(pidof vfwire echo rx_queues tso vlans); do kill -9 "$pid"; done
ip -all netns delete
ip link show bridge > /dev/null 2>&1 && ip link del bridge
echo 128 > /proc/sys/vm/nr_hugepages
for function in $(virtio_functions); do bind "$function" vfio-pci; done
for pf in $(pfs); do
  net=$(ls "$pf/net")
  [ "$(cat "$pf/net/$net/mtu")" = 1500 ] || ip link set "$net" mtu 1500
  [ "$(cat "$pf/net/$net/operstate")" = up ] || ip link set "$net" up
  echo 0 > "$pf/sriov_drivers_autoprobe"
  [ "$(cat "$pf/sriov_numvfs")" = 2 ] || echo 2 > "$pf/sriov_numvfs"
  for index in 0 1; do
    vf=$(basename "$(readlink "$pf/virtfn$index")")
    bind "$vf" vfio-pci
    ip link show "$net" | grep -q "vf $index .*00:00:00:00:00:00" || ip link set "$net" vf "$index" mac 00:00:00:00:00:00
    chown root:root "/dev/vfio/$(group "$vf")"
  done
done
