#!/bin/sh
# spec/mpirun.sh [--network] N command...: runs a command as N ranks on this machine, with
# MPICH or Open MPI, with fewer cores than ranks and as root, which the latter refuses
# unless told. With --network the ranks are in two network namespaces by turns, which see each
# other through a cable; status 77 where the system does not allow that.
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_base_warn_component_unused=0 OMPI_MCA_plm_rsh_agent=false

network=
[ "$1" != --network ] || { network=saros$$; shift; }
count=$1
shift

# Where both are installed, the one that the module was built with.
if [ -z "${MPIRUN:-}" ]; then
  MPIRUN=mpirun
  for mpi in mpich:libmpich openmpi:libmpi.so; do
    if ldd "$(dirname "$1")/saros_mpi.so" 2>/dev/null | grep -q "${mpi#*:}" &&
      command -v "mpirun.${mpi%:*}" >/dev/null; then
      MPIRUN=mpirun.${mpi%:*}
    fi
  done
fi
[ -n "$network" ] || exec "$MPIRUN" -n "$count" "$@"

# --- Two namespaces ---------------------------------------------------------------
near=$network-near far=$network-far agent=/tmp/$network

clean_up() {
  ip netns del "$near"
  ip netns del "$far"
  rm -f "$agent"
} 2>/dev/null

trap clean_up EXIT
trap 'exit 1' INT TERM
if ! { ip netns add "$near" && ip netns add "$far" &&
  ip link add cable netns "$near" type veth peer name cable netns "$far"; } >/dev/null 2>&1; then
  echo 'mpirun.sh: no namespaces for networks here'
  exit 77
fi
for side in "$near 10.77.0.1" "$far 10.77.0.2"; do
  space=${side% *}
  ip -n "$space" addr add "${side#* }/24" dev cable
  ip -n "$space" link set cable up
  ip -n "$space" link set lo up
done

# In place of ssh, which gets a host and a command.
cat >"$agent" <<END
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
case \$1 in *.1) space=$near ;; *) space=$far ;; esac
shift
exec ip netns exec "\$space" sh -c "\$*"
END
chmod +x "$agent"
if "$MPIRUN" --version 2>&1 | grep -q HYDRA; then # MPICH
  set -- -launcher ssh -launcher-exec "$agent" -localhost 10.77.0.1 -hosts 10.77.0.1,10.77.0.2 "$@"
else
  export OMPI_MCA_btl=self,tcp OMPI_MCA_plm_rsh_agent="$agent"
  export OMPI_MCA_btl_tcp_if_include=10.77.0.0/24 OMPI_MCA_oob_tcp_if_include=10.77.0.0/24
  set -- --map-by node -H "10.77.0.1:$count,10.77.0.2:$count" "$@"
fi
ip netns exec "$near" "$MPIRUN" -n "$count" "$@"
