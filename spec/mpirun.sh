#!/bin/sh
# spec/mpirun.sh N command...: runs a command as N ranks on this machine, with MPICH or
# Open MPI, with fewer cores than ranks and as root, which the latter refuses unless told.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_base_warn_component_unused=0 OMPI_MCA_plm_rsh_agent=false

# Where both are installed, the one that the module was built with.
if [ -z "${MPIRUN:-}" ]; then
  MPIRUN=mpirun
  for mpi in mpich:libmpich openmpi:libmpi.so; do
    if ldd "$(dirname "$2")/saros_mpi.so" 2>/dev/null | grep -q "${mpi#*:}" &&
      command -v "mpirun.${mpi%:*}" >/dev/null; then
      MPIRUN=mpirun.${mpi%:*}
    fi
  done
fi
exec "$MPIRUN" -n "$@"
