/** The table: one hundred rows of what an OTLP/HTTP receiver must do, should do, and what we ask of it beyond that. */
import { ERRORS } from './errors.ts';
import { JSON_ROWS } from './json.ts';
import { NEGOTIATION } from './negotiation.ts';
import { PROTOBUF } from './protobuf.ts';
import type { Row } from './row.ts';
import { SUCCESS } from './success.ts';
import { TRANSPORT } from './transport.ts';

export const ROWS: readonly Row[] = [TRANSPORT, NEGOTIATION, SUCCESS, ERRORS, JSON_ROWS, PROTOBUF].flat();
