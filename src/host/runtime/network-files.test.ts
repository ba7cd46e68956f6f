import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hostsFile, isResolvedStub, resolvConf } from './network-files.ts';

describe('network files', () => {
  it("name the step's own machine only", () => {
    assert.equal(
      hostsFile('buildkitsandbox', [{ host: 'a', ip: '1.2.3.4' }]),
      '127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n1.2.3.4\ta\n',
    );
  });

  it('normalise resolv.conf', () => {
    const host =
      '# comment\nother x\noptions a\nnameserver 127.0.0.1\nsearch old\nnameserver 10.0.0.1\noptions b c\nsearch x y\n';
    assert.equal(
      resolvConf(host, {}, false),
      'nameserver 127.0.0.1\nnameserver 10.0.0.1\nsearch x y\noptions a b c\nother x\n',
    );
    assert.equal(resolvConf(host, {}, true), 'nameserver 10.0.0.1\nsearch x y\noptions a b c\nother x\n');
  });

  it('never leave a step without name servers', () => {
    const fallback = ['8.8.8.8', '8.8.4.4', '2001:4860:4860::8888', '2001:4860:4860::8844'];
    const text = fallback.map(address => `nameserver ${address}\n`).join('');
    assert.equal(resolvConf('nameserver 127.0.0.53\nnameserver ::1\n', {}, true), text);
    assert.equal(resolvConf('', {}, false), text);
    assert.ok(isResolvedStub('nameserver 127.0.0.53\noptions edns0\n'));
    assert.ok(!isResolvedStub('nameserver 127.0.0.53\nnameserver 1.1.1.1\n'));
  });

  it('prefer configured settings, part by part', () => {
    const dns = { nameservers: ['127.0.0.1'], searchDomains: ['s'] };
    assert.equal(
      resolvConf('nameserver 1.1.1.1\nsearch x\noptions o\n', dns, true),
      'nameserver 127.0.0.1\nsearch s\noptions o\n',
    );
  });
});
