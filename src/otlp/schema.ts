/**
 * OTLP's messages for protobufjs: what JSON, replies, the console and the tests' oracle use. The hot path reads bytes
 * (traces.ts, metrics.ts, logs.ts) and never comes here.
 *
 * An edition instead of proto3, which is otherwise the same, since proto3 refuses a message for one string that is no UTF-8: OTLP lets
 * those pass, and the journal has them.
 *
 * Field numbers: opentelemetry-proto 1.11.0, https://github.com/open-telemetry/opentelemetry-proto/tree/v1.11.0
 */
import { createRequire } from 'node:module';
import type protobuf from 'protobufjs';
import type { Signal } from '../core/block.ts';

const require = createRequire(import.meta.url);

const PROTO = `
edition = "2023";
option features.field_presence = IMPLICIT;
option features.utf8_validation = NONE;

message AnyValue {
  oneof value {
    string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4;
    ArrayValue array_value = 5; KeyValueList kvlist_value = 6; bytes bytes_value = 7;
  }
}
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
message EntityRef { string schema_url = 1; string type = 2; repeated string id_keys = 3; repeated string description_keys = 4; }
message InstrumentationScope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; repeated EntityRef entity_refs = 3; }

message ExportTraceServiceRequest { repeated ResourceSpans resource_spans = 1; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3; }
message ScopeSpans { InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3; }
message Span {
  bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; bytes parent_span_id = 4; string name = 5; int32 kind = 6;
  fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8; repeated KeyValue attributes = 9;
  uint32 dropped_attributes_count = 10; repeated SpanEvent events = 11; uint32 dropped_events_count = 12;
  repeated SpanLink links = 13; uint32 dropped_links_count = 14; SpanStatus status = 15; fixed32 flags = 16;
}
message SpanEvent { fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
message SpanLink { bytes trace_id = 1; bytes span_id = 2; string trace_state = 3; repeated KeyValue attributes = 4; uint32 dropped_attributes_count = 5; fixed32 flags = 6; }
message SpanStatus { string message = 2; int32 code = 3; }

message ExportMetricsServiceRequest { repeated ResourceMetrics resource_metrics = 1; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; string schema_url = 3; }
message ScopeMetrics { InstrumentationScope scope = 1; repeated Metric metrics = 2; string schema_url = 3; }
message Metric {
  string name = 1; string description = 2; string unit = 3;
  oneof data { Gauge gauge = 5; Sum sum = 7; Histogram histogram = 9; ExponentialHistogram exponential_histogram = 10; Summary summary = 11; }
  repeated KeyValue metadata = 12;
}
message Gauge { repeated NumberDataPoint data_points = 1; }
message Sum { repeated NumberDataPoint data_points = 1; int32 aggregation_temporality = 2; bool is_monotonic = 3; }
message Histogram { repeated HistogramDataPoint data_points = 1; int32 aggregation_temporality = 2; }
message ExponentialHistogram { repeated ExponentialHistogramDataPoint data_points = 1; int32 aggregation_temporality = 2; }
message Summary { repeated SummaryDataPoint data_points = 1; }
message NumberDataPoint {
  fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; oneof value { double as_double = 4; sfixed64 as_int = 6; }
  repeated Exemplar exemplars = 5; repeated KeyValue attributes = 7; uint32 flags = 8;
}
message HistogramDataPoint {
  fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4; double sum = 5 [features.field_presence = EXPLICIT];
  repeated fixed64 bucket_counts = 6; repeated double explicit_bounds = 7; repeated Exemplar exemplars = 8;
  repeated KeyValue attributes = 9; uint32 flags = 10; double min = 11 [features.field_presence = EXPLICIT]; double max = 12 [features.field_presence = EXPLICIT];
}
message ExponentialHistogramDataPoint {
  repeated KeyValue attributes = 1; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4;
  double sum = 5 [features.field_presence = EXPLICIT]; sint32 scale = 6; fixed64 zero_count = 7; Buckets positive = 8; Buckets negative = 9; uint32 flags = 10;
  repeated Exemplar exemplars = 11; double min = 12 [features.field_presence = EXPLICIT]; double max = 13 [features.field_presence = EXPLICIT]; double zero_threshold = 14;
}
message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }
message SummaryDataPoint {
  fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4; double sum = 5;
  repeated ValueAtQuantile quantile_values = 6; repeated KeyValue attributes = 7; uint32 flags = 8;
}
message ValueAtQuantile { double quantile = 1; double value = 2; }
message Exemplar {
  fixed64 time_unix_nano = 2; oneof value { double as_double = 3; sfixed64 as_int = 6; }
  bytes span_id = 4; bytes trace_id = 5; repeated KeyValue filtered_attributes = 7;
}

message ExportLogsServiceRequest { repeated ResourceLogs resource_logs = 1; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scope_logs = 2; string schema_url = 3; }
message ScopeLogs { InstrumentationScope scope = 1; repeated LogRecord log_records = 2; string schema_url = 3; }
message LogRecord {
  fixed64 time_unix_nano = 1; int32 severity_number = 2; string severity_text = 3; AnyValue body = 5; repeated KeyValue attributes = 6;
  uint32 dropped_attributes_count = 7; fixed32 flags = 8; bytes trace_id = 9; bytes span_id = 10; fixed64 observed_time_unix_nano = 11;
  string event_name = 12;
}

message ExportTraceServiceResponse { TracePartialSuccess partial_success = 1; }
message TracePartialSuccess { int64 rejected_spans = 1; string error_message = 2; }
message ExportMetricsServiceResponse { MetricsPartialSuccess partial_success = 1; }
message MetricsPartialSuccess { int64 rejected_data_points = 1; string error_message = 2; }
message ExportLogsServiceResponse { LogsPartialSuccess partial_success = 1; }
message LogsPartialSuccess { int64 rejected_log_records = 1; string error_message = 2; }

message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
message Any { string type_url = 1; bytes value = 2; }
message BadRequest { repeated FieldViolation field_violations = 1; }
message FieldViolation { string field = 1; string description = 2; }
`;

/** 100 AnyValues are up to 300 messages (value, array, entry), plus the envelopes around them; the library's own bound is 100. */
const MESSAGE_DEPTH = 400;

let loaded: protobuf.NamespaceBase | null = null;

/** Loaded with the first message that needs it: most agents never read JSON and refuse nothing, and each thread would pay for it. */
function root(): protobuf.NamespaceBase {
  if (loaded !== null) return loaded;
  const library = require('protobufjs') as typeof protobuf;
  library.util.recursionLimit = MESSAGE_DEPTH;
  library.Reader.recursionLimit = MESSAGE_DEPTH;
  loaded = library.parse(PROTO, { keepCase: false }).root.resolveAll();
  return loaded;
}

/** A message type by its name above. */
export function messageType(name: string): protobuf.Type {
  return root().lookupType(name);
}

const REQUESTS: Record<Signal, string> = {
  traces: 'ExportTraceServiceRequest',
  metrics: 'ExportMetricsServiceRequest',
  logs: 'ExportLogsServiceRequest',
};

/** The export request of a signal. */
export function requestType(signal: Signal): protobuf.Type {
  return messageType(REQUESTS[signal]);
}

/** The message that a field holds, or null: scalars, and enums, of which there are none above. */
export function messageOf(field: protobuf.Field): protobuf.Type | null {
  const type = field.resolvedType;
  return type !== null && 'fieldsArray' in type ? type : null;
}
