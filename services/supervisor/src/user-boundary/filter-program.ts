import { systemCallFilter } from "../process/system-call-filter.ts";

/** The machine code of an architecture, and what ELF calls it. The code ends where struct sock_fprog begins, at a multiple of eight. */
interface Code {
  readonly machine: number;
  readonly bytes: string;
}

/*
 * What both do, in their own instructions:
 *   prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
 *   if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) execve(argv[1], &argv[1], envp);
 *   exit(125);
 */
const codes: Readonly<Record<string, Code>> = {
  x64: {
    machine: 62,
    bytes: [
      "b89d000000 bf26000000 be01000000 31d2 4531d2 4531c0 0f05", // mov eax,157 edi,38 esi,1; xor edx r10d r8d; syscall
      "b89d000000 bf16000000 be02000000 488d1531000000 0f05", // mov eax,157 edi,22 esi,2; lea rdx,[program]; syscall
      "85c0 751a", // test eax,eax; jnz exit
      "488b0c24 488b7c2410 488d742410 488d54cc10 b83b000000 0f05", // rcx=argc rdi=argv[1] rsi=&argv[1] rdx=envp; mov eax,59; syscall
      "bf7d000000 b83c000000 0f05 0f1f440000", // exit: mov edi,125; mov eax,60; syscall; nop
    ].join(""),
  },
  arm64: {
    machine: 183,
    bytes: [
      "e81480d2 c00480d2 210080d2 e2031faa e3031faa e4031faa 010000d4", // mov x8,167 x0,38 x1,1 x2,0 x3,0 x4,0; svc
      "e81480d2 c00280d2 410080d2 82010010 010000d4", // mov x8,167 x0,22 x1,2; adr x2,program; svc
      "e00000b5", // cbnz x0,exit
      "e90340f9 e00b40f9 e1430091 220c098b a81b80d2 010000d4", // x9=argc x0=argv[1] x1=&argv[1] x2=envp; mov x8,221; svc
      "a00f80d2 a80b80d2 010000d4", // exit: mov x0,125; mov x8,93; svc
    ].join(""),
  },
};

const base = 0x400000;
const headerBytes = 64 + 56;

/**
 * A program (ELF, static, without a library) that filters its own system calls as those of every workload are, and becomes the program that its
 * arguments name by its path. It is exit status 125 that says that it could not. Containers get it where bubblewrap cannot run: the filter
 * comes on top of the engine's. Undefined on an architecture that it does not know.
 */
export function filterProgram(architecture: string): Buffer | undefined {
  const known = codes[architecture];
  const filter = systemCallFilter(architecture);
  if (known === undefined || filter === undefined) return undefined;
  const code = Buffer.from(known.bytes.replaceAll(" ", ""), "hex");
  const program = Buffer.alloc(16); // struct sock_fprog: the number of instructions, and where they are
  program.writeUInt16LE(filter.length / 8, 0);
  program.writeBigUInt64LE(BigInt(base + headerBytes + code.length + program.length), 8);
  const body = Buffer.concat([code, program, filter]);
  return Buffer.concat([header(known.machine, headerBytes + body.length), body]);
}

/** The headers of a file of one segment that is loaded whole, to be read and executed. */
function header(machine: number, sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.write("7f454c46020101", 0, "hex"); // ELF, 64 bits, little-endian, version 1
  bytes.writeUInt16LE(2, 16); // e_type: an executable
  bytes.writeUInt16LE(machine, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(base + headerBytes), 24); // e_entry
  bytes.writeBigUInt64LE(64n, 32); // e_phoff
  bytes.writeUInt16LE(64, 52); // e_ehsize
  bytes.writeUInt16LE(56, 54); // e_phentsize
  bytes.writeUInt16LE(1, 56); // e_phnum
  bytes.writeUInt32LE(1, 64); // p_type: to be loaded
  bytes.writeUInt32LE(5, 68); // p_flags: readable, executable
  bytes.writeBigUInt64LE(BigInt(base), 80); // p_vaddr
  bytes.writeBigUInt64LE(BigInt(base), 88); // p_paddr
  bytes.writeBigUInt64LE(BigInt(sizeBytes), 96); // p_filesz
  bytes.writeBigUInt64LE(BigInt(sizeBytes), 104); // p_memsz
  bytes.writeBigUInt64LE(0x10000n, 112); // p_align
  return bytes;
}
