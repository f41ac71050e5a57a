/** The items of one trace in a decoded export request, in words for people. */
import { ENUM_NAMES } from '../contracts/contract.ts';
import type { Signal } from '../core/block.ts';
import type { FoundItem } from '../status/explained.ts';

// Requests as protobufjs decodes them: every field may be missing.
interface KeyValue {
  key?: string;
  value?: { stringValue?: string; boolValue?: boolean } | null;
}
interface Item {
  traceId?: Uint8Array;
  spanId?: Uint8Array;
  name?: string;
  body?: { stringValue?: string } | null;
  kind?: number;
  status?: { code?: number } | null;
  severityNumber?: number;
  traceState?: string;
  attributes?: KeyValue[];
  startTimeUnixNano?: { toString(): string } | number;
  endTimeUnixNano?: { toString(): string } | number;
}
interface Scoped {
  resource?: { attributes?: KeyValue[] } | null;
  scopeSpans?: { spans?: Item[] }[];
  scopeLogs?: { logRecords?: Item[] }[];
}
interface Request {
  resourceSpans?: Scoped[];
  resourceLogs?: Scoped[];
}

const STATUS = ENUM_NAMES.get('status') ?? [];
export const KINDS = ENUM_NAMES.get('span.kind') ?? [];
const MOST_TEXT = 200;

export function itemsOfTrace(
  signal: Signal,
  decoded: object,
  id: Buffer,
  sequence: number,
  receivedMs: number,
): FoundItem[] {
  // Decoded by the type of its signal.
  const { resourceSpans = [], resourceLogs = [] } = decoded as Request;
  return [...resourceSpans, ...resourceLogs].flatMap(({ resource, scopeSpans = [], scopeLogs = [] }) => {
    const service = textOf(resource?.attributes, 'service.name') ?? '';
    const items = [
      ...scopeSpans.flatMap(({ spans }) => spans ?? []),
      ...scopeLogs.flatMap(({ logRecords }) => logRecords ?? []),
    ];
    return items
      .filter(({ traceId }) => traceId !== undefined && id.equals(traceId))
      .map((item) => ({
        signal,
        service,
        received_at: new Date(receivedMs).toISOString(),
        sequence,
        ...wordsOf(signal, item),
      }));
  });
}

function wordsOf(signal: Signal, item: Item) {
  const {
    spanId = new Uint8Array(),
    name,
    body,
    kind = 0,
    status,
    severityNumber = 0,
    traceState = '',
    attributes,
  } = item;
  const isSpan = signal === 'traces';
  return {
    span_id: Buffer.from(spanId).toString('hex'),
    name: (isSpan ? (name ?? '') : (body?.stringValue ?? '')).slice(0, MOST_TEXT),
    kind: isSpan ? (KINDS[kind] ?? `${kind}`) : '',
    status: isSpan ? (STATUS[status?.code ?? 0] ?? '') : `severity ${severityNumber}`,
    duration_ms: isSpan ? durationOf(item) : null,
    kept: textOf(attributes, 'plumbline.kept'),
    rule: textOf(attributes, 'plumbline.rule'),
    partial: attributes?.some(({ key, value }) => key === 'plumbline.partial' && value?.boolValue === true) ?? false,
    tracestate: traceState,
    randomness: /(?:^|[,;=])rv:([0-9a-f]{14})/.exec(traceState)?.[1] ?? null,
  };
}

function durationOf({ startTimeUnixNano = 0, endTimeUnixNano = 0 }: Item): number {
  return Number(BigInt(endTimeUnixNano.toString()) - BigInt(startTimeUnixNano.toString())) / 1e6;
}

function textOf(attributes: readonly KeyValue[] | undefined, wanted: string): string | null {
  return attributes?.find(({ key }) => key === wanted)?.value?.stringValue ?? null;
}
