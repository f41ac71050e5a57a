/** Events that tests of sinks send and find again by their bodies. */
import { decodeRequest } from '../support/storage.ts';
import { bytesOfRequest, resource } from './harness.ts';

interface Logs {
  resourceLogs?: { scopeLogs?: { logRecords?: { body?: { stringValue?: string } }[] }[] }[];
}

/** One event of a service; its body is the number, as `<number>`, and so many bytes. */
export function eventBytes(number: number, padding = 0): Buffer {
  const attributes = [{ key: 'number', value: { stringValue: `<${number}>` } }];
  const body = { stringValue: `${number}` };
  const pad = { key: 'padding', value: { stringValue: 'x'.repeat(padding) } };
  const logRecords = [
    { eventName: 'plumbline.test', body, attributes: padding === 0 ? attributes : [...attributes, pad] },
  ];
  return bytesOfRequest('logs', { resourceLogs: [{ resource: resource('checkout'), scopeLogs: [{ logRecords }] }] });
}

export function bodiesIn(bytes: Uint8Array): string[] {
  return requestsIn(decodeRequest(bytes, 'logs'));
}

export function requestsIn(request: object): string[] {
  return ((request as Logs).resourceLogs ?? []).flatMap(({ scopeLogs }) =>
    (scopeLogs ?? []).flatMap(({ logRecords }) => (logRecords ?? []).map(({ body }) => body?.stringValue ?? '')),
  );
}
