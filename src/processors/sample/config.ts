/** What `sample` is configured with. */
import type { Static } from 'typebox';
import { Conditions } from '../../contracts/contract.ts';
import { Type } from '../../core/type.ts';

export const MOST_RULES = 16;

const share = (description: string, byDefault: string) =>
  Type.String({ format: 'share', default: byDefault, description });

const rule = Type.Object(
  {
    name: Type.Optional(
      Type.String({ minLength: 1, maxLength: 64, description: 'Stands in `plumbline.rule` of what it keeps' }),
    ),
    of: Type.Unsafe<'spans' | 'logs'>(
      Type.Union([Type.Literal('spans'), Type.Literal('logs')], {
        default: 'spans',
        description: 'spans: of a trace that has such a span; logs: of such records',
      }),
    ),
    where: Conditions,
    keep: share('Share that is kept, in place of `base`', '100%'),
  },
  { additionalProperties: false },
);

export const config = Type.Object(
  {
    wait: Type.String({
      format: 'duration',
      default: '10s',
      description: 'How long after its first item a trace is decided',
    }),
    base: share('Share of the traces about which nothing special is known', '10%'),
    keep: Type.Object(
      {
        error: share('Share of the traces with an error span, and of log records of severity error and above', '100%'),
        slow: share(
          "Share of the traces with a span slower than a contract's slower_than, or than `slower_than`",
          '100%',
        ),
        anomalous: share('Share of the traces through a service that `flag` has flagged, while the flag lasts', '100%'),
        rare: share('Share of the first trace of each operation in each minute', '100%'),
      },
      { additionalProperties: false, default: {}, description: 'Shares of the classes' },
    ),
    slower_than: Type.Unsafe<'none' | 'p90' | 'p95' | 'p99' | 'p99.9'>(
      Type.Union(
        ['none', 'p90', 'p95', 'p99', 'p99.9'].map((one) => Type.Literal(one)),
        {
          default: 'p99.9',
          description:
            'Quantile of its operation beyond which a span is slow, where no contract says; none: contracts alone say',
        },
      ),
    ),
    rules: Type.Array(rule, {
      default: [],
      maxItems: MOST_RULES,
      description: 'Shares of their own for what matches conditions; the first that matches counts',
    }),
    budget: Type.Union([Type.Literal('none'), Type.String({ format: 'rate' })], {
      default: 'none',
      description: 'Bytes of traces and log records that may be kept, held in each 10 s: errors first, base last',
    }),
    on_breach_max: Type.Object(
      {
        keep: share('Most that a contract may ask for while it is broken', '100%'),
        budget: Type.String({
          format: 'rate',
          default: '20MiB/min',
          description: 'Most that a look-back may forward for each of its minutes',
        }),
      },
      { additionalProperties: false, default: {}, description: 'Caps what `on_breach` of contracts may ask for' },
    ),
    traces: Type.Integer({ minimum: 1000, default: 262_144, description: 'Traces remembered at once; 32 bytes each' }),
  },
  { additionalProperties: false },
);
export type SampleConfig = Static<typeof config>;

/** 0.99 of `p99`; null when nothing is learned. */
export function quantileOf({ slower_than }: SampleConfig): number | null {
  return slower_than === 'none' ? null : Number((Number(slower_than.slice(1)) / 100).toFixed(4));
}
