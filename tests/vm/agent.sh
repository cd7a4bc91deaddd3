# Runs what the host sends over the virtio port, one command at a time.
# Request:  "LIMIT_S BYTES\n" and BYTES of shell script.      Reply:  "EXIT_CODE BYTES\n" and BYTES of output.
# A command that outlives its limit is killed. Background processes close descriptor 3 by themselves: they don't inherit it.
port=$(dirname "$(grep -l '^vfwire$' /sys/class/virtio-ports/*/name)")
exec 3<>"/dev/$(basename "$port")"
echo "GUEST READY" >&3
echo "GUEST READY after $(cut -d' ' -f1 /proc/uptime) s"
while read -r limit_s bytes <&3; do
  head -c "$bytes" <&3 > /tmp/command
  timeout -s KILL "$limit_s" sh /tmp/command > /tmp/output 2>&1 < /dev/null 3>&-
  code=$?
  { echo "$code $(stat -c %s /tmp/output)"; cat /tmp/output; } >&3
done
