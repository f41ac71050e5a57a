/** Holds the rules between keys of src/core/settings.ts, read from YAML as users write them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspectConfig } from '../../src/config.ts';

function inspect(text: string) {
  return inspectConfig({ text, file: 'agent.yaml', env: {}, processors: [], sinks: [] });
}

function only(text: string): string {
  const { faults } = inspect(text);
  assert.equal(faults.length, 1, `expected one fault, found:\n${faults.join('\n')}`);
  return faults[0] ?? '';
}

test('sizes of the journal fit each other', () => {
  const small = 'journal:\n  segment_size: 21MiB\n';
  assert.match(only(small), /^agent\.yaml:2:17: journal\.segment_size must be more than .* \+ 1MiB, found 21MiB$/);
  const few = 'journal:\n  max_size: 255MiB\n';
  assert.equal(only(few), 'agent.yaml:2:13: journal.max_size must be at least 4 segments of 64MiB, found 255MiB');
});

test('a memory limit that no agent can use is a fault', () => {
  assert.deepEqual(inspect('agent: { memory_limit: 4GiB }').faults, []);
  assert.match(
    only('agent: { memory_limit: 5GiB }'),
    /^agent\.yaml:1:24: agent\.memory_limit must be at most 4GiB, .*; found 5GiB$/,
  );
  assert.deepEqual(inspect('agent: { memory_limit: 32MiB }').faults, []);
  assert.match(
    only('agent: { memory_limit: 31MiB }'),
    /^agent\.yaml:1:24: agent\.memory_limit must be at least 32MiB, .*; found 31MiB$/,
  );
});

test('ingest beyond loopback needs insecure: true', () => {
  for (const endpoint of ['0.0.0.0:4318', ':4318', '[::]:4318', 'db.example:4318', '10.0.0.1:0']) {
    assert.match(
      only(`ingest: { http: { endpoint: "${endpoint}" } }`),
      /1:29: ingest\.http\.endpoint is beyond loopback/,
    );
    assert.deepEqual(inspect(`ingest: { http: { endpoint: "${endpoint}", insecure: true } }`).faults, []);
  }
  for (const endpoint of ['127.0.0.1:0', '127.9.9.9:1', '[::1]:4318', 'localhost:4318', 'unix:/run/otlp.sock']) {
    assert.deepEqual(inspect(`ingest: { http: { endpoint: "${endpoint}" } }`).faults, []);
  }
  assert.match(
    only('ingest: { http: { endpoint: "http://a:1" } }'),
    /must be HOST:PORT such as 127\.0\.0\.1:4318, or unix:\/PATH of at most 107 bytes, found "http/,
  );
  for (const endpoint of ['unix:otlp.sock', 'unix:', `unix:/${'x'.repeat(107)}`])
    assert.match(only(`ingest: { http: { endpoint: "${endpoint}" } }`), /must be HOST:PORT/);
  assert.deepEqual(inspect(`ingest: { http: { endpoint: "unix:/${'x'.repeat(106)}" } }`).faults, []);
  assert.match(
    only('admin: { endpoint: "unix:/run/admin.sock" }'),
    /must be HOST:PORT such as 127\.0\.0\.1:4318, found/,
  );
});

test('an IPv6 address without brackets is told where they go', () => {
  assert.match(
    only('admin: { endpoint: "fd00::1:8888" }'),
    /found "fd00::1:8888": an IPv6 address stands in brackets, as in \[::1\]:4318$/,
  );
  assert.match(only('admin: { endpoint: "http://a:1" }'), /found "http:\/\/a:1"$/);
});

test('0 is no word for no bound, where it would give up or refuse everything', () => {
  assert.match(
    only('journal: { max_age: 0s }'),
    /journal\.max_age must be none or a duration above 0 such as .*, found "0s"$/,
  );
  assert.match(
    only('ingest: { http: { tls: { reload_interval: 0s } } }'),
    /reload_interval must be a duration above 0 such as .*, found "0s"$/,
  );
  assert.match(
    only('ingest: { http: { max_request_body_size: 0KiB } }'),
    /max_request_body_size must be a size above 0 such as .*, found "0KiB"$/,
  );
});

test('names of clients are asked for with a CA alone', () => {
  const tls = (more: string) =>
    `ingest: { http: { tls: { cert_file: c, key_file: k, client_allowed_sans_file: f${more} } } }`;
  assert.match(only(tls('')), /client_allowed_sans_file needs client_ca_file beside it/);
  assert.deepEqual(inspect(tls(', client_ca_file: a')).faults, []);
});

test('a pattern is told in words', () => {
  assert.match(
    only('agent: { id: "a b" }'),
    /^agent\.yaml:1:14: agent\.id must be a name without white space and slashes, found "a b"$/,
  );
  assert.match(
    only('ingest: { http: { cors: { allowed_headers: ["X Y"] } } }'),
    /allowed_headers\[0\] must be the name of a header such as X-Tenant, found/,
  );
  assert.match(only('agent: { id: "a\\nb" }'), /found "a\\nb"$/, 'one fault, one line');
});

test('an origin that no browser sends is a fault', () => {
  const origins = (list: string) => `ingest: { http: { cors: { allowed_origins: ${list} } } }`;
  const sound =
    '["*", "null", "https://shop.example", "http://localhost:3000", "http://[::1]:3000", "moz-extension://a-b"]';
  assert.deepEqual(inspect(origins(sound)).faults, []);
  for (const one of ['https://*.shop.example', 'https://shop.example/', 'shop.example', 'https://Shop.example', '']) {
    assert.match(
      only(origins(`["${one}"]`)),
      /:1:45: .*allowed_origins\[0\] must be an origin as browsers send it, such as/,
    );
  }
});

test('the two ports differ, and so do the three paths', () => {
  assert.match(
    only('admin: { endpoint: "127.0.0.1:4318" }'),
    /1:20: admin\.endpoint must differ from ingest\.http\.endpoint/,
  );
  const free = 'admin: { endpoint: "127.0.0.1:0" }\ningest: { http: { endpoint: "127.0.0.1:0" } }';
  assert.deepEqual(inspect(free).faults, []);
  assert.match(
    only('ingest: { http: { logs_url_path: /v1/traces } }'),
    /url paths must differ, found \/v1\/traces, \/v1\/metrics/,
  );
  assert.match(
    only('ingest: { http: { logs_url_path: v1 } }'),
    /logs_url_path must be a path such as \/v1\/logs, without query or fragment, found "v1"$/,
  );
});
