import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SANDBOX_CAPABILITIES } from './capabilities.ts';
import { seccompProfile } from './seccomp.ts';

const machine = { architecture: 'x64', safePtrace: true };

describe('seccomp profile', () => {
  it("has the sandbox's fifteen entries on amd64", () => {
    const { syscalls, architectures, defaultAction, defaultErrnoRet } = seccompProfile(
      new Set(SANDBOX_CAPABILITIES),
      machine,
    );
    assert.deepEqual([defaultAction, defaultErrnoRet], ['SCMP_ACT_ERRNO', 1]);
    assert.deepEqual(architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
    assert.deepEqual(
      syscalls.map(({ names }) => (names.length > 3 ? names.length : names.join(' '))),
      [
        361,
        'process_vm_readv process_vm_writev ptrace',
        ...Array<string>(3).fill('socket'),
        ...Array<string>(5).fill('personality'),
        'arch_prctl',
        'modify_ldt',
        'clone',
        'clone3',
        'chroot',
      ],
    );
    const always = syscalls[0]?.names ?? [];
    assert.deepEqual([...always].sort(), always);
    assert.deepEqual(syscalls[12]?.args, [{ index: 0, value: 2114060288, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]);
    assert.equal(syscalls[13]?.errnoRet, 38);
  });

  it('follows capabilities and machine', () => {
    const open = seccompProfile(new Set(['CAP_SYS_ADMIN', 'CAP_BPF']), { architecture: 'riscv64', safePtrace: false });
    const names = open.syscalls.slice(1).map(rule => rule.names);
    assert.ok(names.some(list => list.includes('mount') && list.includes('clone3')));
    assert.ok(names.some(list => list.length === 1 && list[0] === 'bpf'));
    assert.ok(names.some(list => list[0] === 'riscv_flush_icache'));
    assert.ok(!names.some(list => list.includes('ptrace')));
    assert.ok(open.syscalls.every(rule => rule.action === 'SCMP_ACT_ALLOW'));
    assert.equal(seccompProfile(new Set(), { architecture: 'ppc64', safePtrace: true }).architectures, undefined);
    const s390 = seccompProfile(new Set(), { architecture: 's390x', safePtrace: true });
    assert.equal(s390.syscalls.find(({ names: [name] }) => name === 'clone')?.args?.[0]?.index, 1);
  });
});
