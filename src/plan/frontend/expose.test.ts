import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExposedPort } from './expose.ts';

test('a port, a range, a protocol in any case', () => {
  assert.deepEqual(parseExposedPort('80'), { ports: ['80/tcp'], protocol: 'tcp', hasHost: false });
  assert.deepEqual(parseExposedPort('8000-8002/UDP').ports, ['8000/udp', '8001/udp', '8002/udp']);
  assert.deepEqual(parseExposedPort('5-5').ports, ['5/tcp']);
});

test('an address and a port of the host are checked and dropped', () => {
  for (const text of ['127.0.0.1:80:8080', '[::1]:80:8080', '80:8080', '9000-9010:8080']) {
    const { ports, hasHost } = parseExposedPort(text);
    assert.deepEqual(ports, ['8080/tcp'], text);
    assert.equal(hasHost, true);
  }
});

test('what is no port is refused', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'invalid port: "": no port specified'],
    ['80/http', 'invalid port: "80/http": invalid proto: http'],
    ['90-80', 'invalid containerPort: 90-80'],
    ['65536', 'invalid containerPort: 65536'],
    ['x:80', 'invalid hostPort: x'],
    ['1.2.3:1:80', 'invalid IP address: 1.2.3'],
    ['1-3:80-81', 'invalid ranges specified for container and host Ports: 80-81 and 1-3'],
  ];
  for (const [text, message] of cases) assert.throws(() => parseExposedPort(text), { name: 'PortError', message });
});
