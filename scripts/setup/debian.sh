#!/usr/bin/env bash
# Compiler, headers and, for tests, the means to boot kernels.
source "$(dirname "$0")/../lib.sh"
source scripts/setup/packages.sh

build=(
	ca-certificates # cargo fetches crates over TLS
	clang-19        # compiles the BPF programs
	llvm-19         # strips what the loader does not need from the BPF object
	libbpf-dev      # BPF helper declarations
	linux-libc-dev  # kernel user-space headers
	gcc libc6-dev   # linker and static C library
)
tests=(
	clang-format-19
	bpftool
	qemu-system-x86 cpio zstd xz-utils # boot other kernels
	busybox-static                     # user space of the VMs
	libcap2-bin                        # set file capabilities
	dpkg-dev                           # unpack kernel packages
	podman conmon runc crun            # real containers, here and in the VMs
	iproute2                           # networks for them
	containernetworking-plugins
)

if ! command -v dpkg-query >/dev/null; then
	say "not a Debian system: expecting the counterparts of ${build[*]} to be installed"
	exit 0
fi
case $1 in
build | run) install_packages "to build" "${build[@]}" ;;
test) install_packages "to build and test" "${build[@]}" "${tests[@]}" ;;
esac
