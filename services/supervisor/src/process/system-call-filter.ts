/** Numbers of the system calls that the filter names, and what seccomp calls the architecture. */
interface Architecture {
  readonly audit: number;
  /** Calls with this bit or above belong to another calling convention of the same architecture. */
  readonly foreignFrom: number | undefined;
  readonly socket: number;
  readonly ioctl: number;
  readonly denied: readonly number[];
}

/*
 * denied: mount umount2 pivot_root chroot swapon swapoff reboot sethostname setdomainname init_module finit_module delete_module
 * kexec_load kexec_file_load add_key request_key keyctl bpf perf_event_open userfaultfd open_by_handle_at setns unshare
 * io_uring_setup io_uring_enter io_uring_register move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr acct quotactl
 * settimeofday clock_settime
 * io_uring is among them because it makes sockets without the `socket` call.
 */
const architectures: Readonly<Record<string, Architecture>> = {
  x64: {
    audit: 0xc000003e,
    foreignFrom: 0x40000000,
    socket: 41,
    ioctl: 16,
    denied: [
      165, 166, 155, 161, 167, 168, 169, 170, 171, 175, 313, 176, 246, 320, 248, 249, 250, 321, 298, 323, 304, 308, 272,
      425, 426, 427, 429, 428, 430, 432, 431, 433, 442, 163, 179, 164, 227,
    ],
  },
  arm64: {
    audit: 0xc00000b7,
    foreignFrom: undefined,
    socket: 198,
    ioctl: 29,
    denied: [
      40, 39, 41, 51, 224, 225, 142, 161, 162, 105, 273, 106, 104, 294, 217, 218, 219, 280, 241, 282, 265, 268, 97, 425,
      426, 427, 429, 428, 430, 432, 431, 433, 442, 89, 60, 170, 112,
    ],
  },
};

const allow = 0x7fff0000;
const refuse = (errno: number): number => 0x00050000 | errno;
const [EPERM, ENOSYS, EAFNOSUPPORT] = [1, 38, 97];

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: what programs need. Others reach past the network namespace (AF_VSOCK: the hypervisor). */
const families = [1, 2, 10, 16];
/** Requests that put characters into a terminal's input: TIOCSTI, TIOCLINUX. */
const terminalRequests = [0x5412, 0x541c];

/**
 * A seccomp program (classic BPF, as struct sock_filter) for processes of the workload: socket families that a network namespace does not
 * confine, kernel interfaces that only administrators need, and other calling conventions are refused. Undefined on an
 * architecture that it does not know.
 */
export function systemCallFilter(architecture: string): Buffer | undefined {
  const known = architectures[architecture];
  if (known === undefined) return undefined;
  const program: Instruction[] = [
    load(4),
    // Calls of another architecture have other numbers: none of them is let through.
    ...unless(known.audit, refuse(ENOSYS)),
    load(0),
    ...(known.foreignFrom === undefined ? [] : [jump(0x35, known.foreignFrom, 0, 1), answer(refuse(ENOSYS))]),
    ...known.denied.flatMap((number) => [jump(0x15, number, 0, 1), answer(refuse(EPERM))]),
    // socket: past the test of its first argument if it is another call
    jump(0x15, known.socket, 0, families.length + 3),
    load(16),
    ...families.map((family, index) => jump(0x15, family, families.length - index, 0)),
    answer(refuse(EAFNOSUPPORT)),
    answer(allow),
    jump(0x15, known.ioctl, 0, 1 + 2 * terminalRequests.length),
    load(24),
    ...terminalRequests.flatMap((request) => [jump(0x15, request, 0, 1), answer(refuse(EPERM))]),
    answer(allow),
  ];
  return Buffer.concat(program.map(encode));
}

interface Instruction {
  readonly code: number;
  readonly ifTrue: number;
  readonly ifFalse: number;
  readonly value: number;
}

/** Loads a word of struct seccomp_data: 0 number, 4 architecture, 16 first argument, 24 second. */
function load(offset: number): Instruction {
  return { code: 0x20, ifTrue: 0, ifFalse: 0, value: offset };
}

/** 0x15 equal, 0x35 greater or equal. */
function jump(code: number, value: number, ifTrue: number, ifFalse: number): Instruction {
  return { code, ifTrue, ifFalse, value };
}

function answer(value: number): Instruction {
  return { code: 0x06, ifTrue: 0, ifFalse: 0, value };
}

function unless(value: number, otherwise: number): Instruction[] {
  return [jump(0x15, value, 1, 0), answer(otherwise)];
}

function encode({ code, ifTrue, ifFalse, value }: Instruction): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(ifTrue, 2);
  bytes.writeUInt8(ifFalse, 3);
  bytes.writeUInt32LE(value >>> 0, 4);
  return bytes;
}
