# provoke.sh register|dma FUNCTION: makes a VF that no driver has do what ours never may, through its registers in /dev/mem.
# shellcheck source=tests/vm/functions.sh
. /vm/functions.sh
vf=$2
[ -e "$pci/$vf/driver" ] && echo "$vf" > "$pci/$vf/driver/unbind"
# Memory space and bus mastering on.
printf '\006' | dd of="$pci/$vf/config" bs=1 seek=4 conv=notrunc 2> /dev/null
bar=$(cut -d' ' -f1 "$pci/$vf/resource" | head -1)
write() { devmem $((bar + $1)) 32 "$2"; }

case $1 in
register) devmem $((bar + 0x3f00)) 32 ;;
dma)
  # A domain that translates, and in which nothing is mapped.
  echo DMA > "/sys/kernel/iommu_groups/$(group "$vf")/type"
  # Mailbox: RESET (1), so that the PF lets the VF transmit.
  write 0x0000 0x04000000; usleep 200000
  write 0x0800 1; write 0x0c40 1; usleep 500000
  # A transmit ring of 4096 bytes at an address that is not mapped, enabled, and one descriptor handed over.
  write 0x3800 0x100000; write 0x3804 0; write 0x3808 0x1000; write 0x3810 0
  write 0x3818 0; write 0x3828 0x02000000; write 0x3818 1
  usleep 500000
  echo identity > "/sys/kernel/iommu_groups/$(group "$vf")/type" ;;
esac
