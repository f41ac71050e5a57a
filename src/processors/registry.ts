/** Every processor the agent knows: one line each. */
import { detect } from './detect/index.ts';
import { enrich } from './enrich/index.ts';
import { filter } from './filter/index.ts';
import { flag } from './flag/index.ts';
import type { ProcessorDefinition } from './processor.ts';
import { redact } from './redact/index.ts';
import { sample } from './sample/index.ts';
import { summarize } from './summarize/index.ts';

export const processors: readonly ProcessorDefinition[] = [redact, enrich, summarize, detect, flag, filter, sample];
